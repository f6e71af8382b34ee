"""Stripe: Checkout for packs and plans, the customer portal, signed webhooks. Sold on the page and on Discord.

    provider   `StripeProvider`: what the rest of the bot sees    wire      the SDK: calls, timeouts, refusals
    counter    Checkout and the portal                            shelf     our products and prices, kept there
    reading    fetches objects, one or all that moved             shapes    objects, as far as we read them
    errands    refunds, cancel, resume                            meaning   objects -> events, pure

A webhook names an object; what it means is read from the object as it is when we look, since webhooks come late,
twice and in any order. Nothing about cards or people is kept: a letter holds ids and a time.
"""
