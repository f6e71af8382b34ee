"""A Stripe on loopback: Checkout, subscriptions, the portal, refunds, disputes and signed webhooks."""
