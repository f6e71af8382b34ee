refused-provider-away = The payment service does not answer right now. Nothing was charged; please try again in a minute.

notice-paid-pack = Thank you! { $credits } credits arrived. **receipts** shows the payment.
notice-paid-plan = Thank you! { $product } is active, with { $credits } credits for this period. **receipts** shows the payment.
notice-refunded = Your payment for { $product } was returned; { $credits } credits went back with it.
notice-refund-failed = The refund for { $product } did not reach you: the bank sent the money back to us. The credits that went with it are yours again; **paysupport** helps with the rest.
notice-refund-failed-admin = The refund of payment #{ $payment } of { $provider } failed: the bank sent the money back, and the credits were given again. Try once more with `admin refund { $payment }`, or pay it another way.
notice-unpaid = { $product } could not be renewed: there are too few Stars. Top up in Telegram (Settings, My Stars) and it goes on; nothing was charged.
notice-failed-order = Your payment for { $product } did not go through. Nothing was charged; **plans** shows what there is.
notice-failed-renewal = Your next period of { $product } could not be charged. Please look after your card: **manage** leads there. The plan goes on for a few days.
notice-flagged = A payment needs your eyes: #{ $payment } of { $provider } ({ $flag }). It is kept until you settle it.
notice-referral = Somebody who was invited bought something: { $credits } credits for each of you. Thank you for telling others!

plans-yours = Your plan: **{ $plan }**.
plans-yours-until = Your plan: **{ $plan }**, until { $until }.
plans-none = Nothing is sold here. Your free credits come back every day.
plans-plan = - **{ $title }**, { $price } for { $days } days: { $credits } credits, { $running } at once, { $waiting } in line
plans-for-group = - **{ $title }**, { $price } for { $days } days, for { $group }: { $credits } credits that its members share{ $member ->
    [0] .
   *[other] , up to { $member } a day each.
}
plans-pack = - **{ $title }**, { $price }: { $credits } credits, good for { $days } days
buy-how = **{ $product }** for { $price }. You pay on the page that opens; the credits arrive by themselves.
buy-which-way = How would you like to pay for **{ $product }**?
buy-unknown = “{ $name }” is not sold here. There is: { $all }.
buy-unknown-near = “{ $name }” is not sold here; did you mean **{ $near }**? There is: { $all }.
buy-gone = That is no longer sold. **plans** shows what is.
buy-for-group = It is for the wallet of { $group }: its members share the credits.
buy-this-group = this group
buy-only-managers = { $product } is for a whole group: somebody who manages it sends `/buy { $name }` there.

receipts-none = You have not bought anything yet. **plans** shows what there is.
receipts-some = Your payments, newest first:
receipt-paid = - { $day } · { $product } · { $price } · #{ $number }
receipt-refunded = - { $day } · { $product } · { $price } · { $back } returned · #{ $number }
receipt-disputed = - { $day } · { $product } · { $price } · disputed · #{ $number }
receipt-checked = - { $day } · { $product } · { $price } · being checked by our people · #{ $number }

redeem-usage = Send the code with it: `redeem CODE`.
redeem-unknown = There is no such code. Look once more at its letters.
redeem-again = You have used such a code already.
redeem-over = This code is over. Nothing was changed.
redeem-too-often = That were many codes. Please try again in { $minutes } minutes.
redeem-credits = { $credits } credits are yours, for { $days } days. Have fun!
redeem-plan = **{ $plan }** is yours for { $days } days. Have fun!
redeem-invited = Noted. Once you buy something, both of you get credits.

refer = Give your friends this code: `{ $code }`. They send `redeem` with it in their first { $days } days; at their first purchase both of you get { $credits } credits.
refer-none = There is no programme for invitations here.
refer-oneself = This is your own code: it is for friends.
refer-too-late = Such a code counts in the first { $days } days only.

gift-usage = Say for whom and what: `gift @person NAME`, such as `gift @ann small`.
gift-unknown = I do not know this person yet: they should say hello to me first.
gift-what = What should it be? There is: { $names }.

link-code = Type this in the other chat within { $minutes } minutes: `link { $code }`. Both accounts become one, credits and plans together. Give it to nobody: it opens your wallet.
link-refused = This code is wrong, too old or used. `link` alone makes a new one.
link-same = These two are one account already.
link-too-often = At most { $limit } accounts can be joined in a month.
link-done = Done: one account for both. You have { $credits } credits to spend.

paysupport = Questions about a payment: { $support }. Name its number from **receipts**. What fails by our fault is never charged.
paysupport-operator = ask the people who run { $name }
paysupport-terms = Terms: { $url }

manage-none = You have no subscription. **plans** shows what there is.
manage-renews = - **{ $plan }** renews on { $day }.
manage-ends = - **{ $plan }** ends on { $day } and does not renew.
manage-runs = - **{ $plan }** runs until you cancel it.
manage-stars = Cancel or resume it in Telegram: Settings, My Stars.
manage-stripe = Its payer cancels or changes it on the web page or in Discord: `manage` there.
manage-discord = Cancel or resume it in Discord: User Settings, Subscriptions.
manage-open = Change or cancel { $plan }

hint-manage = Change, cancel or resume a subscription
hint-plans = What you can buy, side by side
hint-buy = Buy a plan or credits
hint-receipts = What you paid
hint-redeem = Use a promo code, or the code of whoever invited you
hint-gift = A plan or credits for somebody else
hint-refer = Your code for friends
hint-link = One account for several chats
hint-paysupport = Help with a payment

admin-gifted = { $who } has { $plan } for { $days } days.
admin-limited = Limits of { $who }, instead of the plan's: { $limits }.
admin-no-limit = There is no limit called “{ $name }”. There is: { $all }.
admin-no-payment = There is no payment #{ $payment }.
admin-no-product = There is no product “{ $product }”: it is plan:NAME or pack:NAME of config.toml.
admin-not-flagged = Payment #{ $payment } is settled already.
admin-refunded = Payment #{ $payment } went back already.
admin-refund-sure = Payment #{ $payment }: { $money } would go back, and { $taken } credits with it{ $owed ->
    [0] .
   *[other] ; { $owed } of them are spent and become a debt.
} To do it: `admin refund { $payment } yes REASON`.
admin-refund-asked = Asked for: payment #{ $payment }, { $money }. The { $taken } credits go back once the provider has done it.
admin-settled = Payment #{ $payment } is { $who }'s, for { $product }; it is given now.
admin-promo-made = Code { $code } works { $uses } times.
admin-promo-ended = Code { $code } is over.
admin-promo-exists = There is a code { $code } already.
admin-no-letter = There is no news #{ $letter }.
admin-no-provider = No provider “{ $name }” is set up here. { $providers ->
    [none] None is: their secrets are missing.
   *[other] There are: { $providers }.
}
admin-asked = Asked the bot to { $what }. `admin flagged` and the audit log show what comes of it.
stars-pack = { $credits } credits, good for { $days } days. They arrive by themselves once you have paid.
stars-plan = { $credits } credits every { $days } days. It renews by itself; cancel it any time in Telegram: Settings, My Stars.
checkout-unknown = This bill is not known here. Nothing was charged; send /buy for a new one.
checkout-gone = This is no longer sold. Nothing was charged; /plans shows what is.
checkout-price = The price has changed. Nothing was charged; send /buy to see today's.
checkout-others = This bill was made for somebody else. Nothing was charged; send /buy to get your own.
checkout-banned = This account cannot buy anything. Nothing was charged; send /paysupport to ask why.
checkout-expired = This bill is too old. Nothing was charged; send /buy for a new one.
checkout-paid = This bill is paid already. Nothing was charged; /receipts shows the payment.
checkout-away = Payments cannot be taken just now. Nothing was charged; please try again in a minute.

terms = What you buy here are credits and plans for { $name }; a plan renews until you cancel it. Credits pay for what you make and last as long as was shown when you bought them. What fails by our fault is never charged. Who sells is who runs { $name }: **paysupport** helps with a payment.
hint-terms = What you agree to when you buy
