refused-provider-away = The payment service does not answer right now. Nothing was charged; please try again in a minute.

notice-paid-pack = Thank you! { $product } arrived: { $credits } credits more. **receipts** shows the payment.
notice-paid-plan = Thank you! { $product } is active, with { $credits } credits for this period. **receipts** shows the payment.
notice-refunded = Your payment for { $product } was returned; { $credits } credits went back with it.
notice-flagged = A payment needs your eyes: #{ $payment } of { $provider } ({ $flag }). It is kept until you settle it.
button-buy = Buy
