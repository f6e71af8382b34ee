refused-provider-away = 支付服务暂时没有回应。没有扣款，请过一分钟再试。

notice-paid-pack = 谢谢！{ $credits } 积分已到账。发送 **receipts** 可查看付款记录。
notice-paid-plan = 谢谢！{ $product } 已生效，本期含 { $credits } 积分。发送 **receipts** 可查看付款记录。
notice-refunded = { $product } 的付款已退还，相应的 { $credits } 积分也已收回。
notice-refund-failed = { $product } 的退款没有到你的账户：银行把钱退回给了我们。随退款扣除的积分已还给你；其余请用 **paysupport** 联系我们。
notice-refund-failed-admin = { $provider } 的付款 #{ $payment } 退款失败：银行把钱退了回来，积分已重新发放。请用 `admin refund { $payment }` 再试一次，或用别的方式退款。
notice-unpaid = { $product } 未能续订：星星不足。请在 Telegram 充值（设置 › 我的星星）后继续使用；没有扣款。
notice-failed-order = { $product } 的付款没有成功，没有扣款。**plans** 会显示可以买什么。
notice-failed-renewal = { $product } 的下一期扣款没有成功。请检查你的银行卡：发送 **manage** 可以前往。套餐还会继续几天。
notice-flagged = 有一笔付款需要你查看：{ $provider } 的 #{ $payment }（{ $flag }）。处理之前会一直保留。
notice-referral = 你邀请的人购买了商品：你们各得 { $credits } 积分。谢谢推荐！

plans-yours = 你的套餐：**{ $plan }**。
plans-yours-until = 你的套餐：**{ $plan }**，到 { $until }。
plans-none = 这里不出售任何商品。免费积分每天都会恢复。
plans-plan = - **{ $title }**，{ $days } 天 { $price }：{ $credits } 积分，同时 { $running } 个任务，排队 { $waiting } 个
plans-for-group = - **{ $title }**，{ $days } 天 { $price }，供{ $group }使用：成员共享 { $credits } 积分{ $member ->
    [0] 。
   *[other] ，每人每天最多 { $member }。
}
plans-pack = - **{ $title }**，{ $price }：{ $credits } 积分，{ $days } 天内有效
buy-how = **{ $product }**，{ $price }。在打开的页面付款，积分会自动到账。
buy-which-way = 你想怎样支付 **{ $product }**？
buy-unknown = 这里不出售“{ $name }”。有：{ $all }。
buy-unknown-near = 这里不出售“{ $name }”，你是说 **{ $near }** 吗？有：{ $all }。
buy-gone = 这个已经不再出售。**plans** 会显示现有商品。
buy-for-group = 它归{ $group }的钱包：成员共享积分。
buy-this-group = 本群
buy-only-managers = { $product } 是给整个群的：请管理者在群里发送 `/buy { $name }`。

receipts-none = 你还没有买过东西。**plans** 会显示可以买什么。
receipts-some = 你的付款，最新的在前：
receipt-paid = - { $day } · { $product } · { $price } · #{ $number }
receipt-refunded = - { $day } · { $product } · { $price } · 已退 { $back } · #{ $number }
receipt-disputed = - { $day } · { $product } · { $price } · 有争议 · #{ $number }
receipt-checked = - { $day } · { $product } · { $price } · 正由我们核对 · #{ $number }

redeem-usage = 请附上兑换码：`redeem CODE`。
redeem-unknown = 没有这个兑换码，请再核对一下。
redeem-again = 你已经用过这样的兑换码。
redeem-over = 这个兑换码已失效，没有任何改变。
redeem-too-often = 尝试的次数太多了，请过 { $minutes } 分钟再试。
redeem-credits = { $credits } 积分归你了，{ $days } 天内有效。玩得开心！
redeem-plan = **{ $plan }** 归你了，为期 { $days } 天。玩得开心！
redeem-invited = 已记下。你第一次购买后，你们都会得到积分。

refer = 把这个邀请码给朋友：`{ $code }`。对方在最初 { $days } 天内用它发送 `redeem`，第一次购买时你们各得 { $credits } 积分。
refer-none = 这里没有邀请活动。
refer-oneself = 这是你自己的邀请码，是给朋友用的。
refer-too-late = 邀请码只在最初 { $days } 天内有效。

gift-usage = 请说明送给谁、送什么：`gift @某人 名称`，例如 `gift @ann small`。
gift-unknown = 我还不认识这个人：请对方先来打个招呼。
gift-what = 想送什么？有：{ $names }。

link-code = 请在 { $minutes } 分钟内到另一个聊天里输入：`link { $code }`。两个账户会合成一个，积分和套餐都在一起。不要给任何人：它能打开你的钱包。
link-refused = 这个码不对、已过期或已用过。单独发送 `link` 可以得到新的。
link-same = 这两个本来就是同一个账户。
link-too-often = 每月最多可以合并 { $limit } 个账户。
link-done = 好了：两边现在是同一个账户。你有 { $credits } 积分可用。

paysupport = 付款问题：{ $support }。请附上 **receipts** 里的编号。因我们的原因失败的任务不会收费。
paysupport-operator = 请联系运营 { $name } 的人
paysupport-terms = 条款：{ $url }

manage-none = 你没有订阅。**plans** 会显示可以买什么。
manage-renews = - **{ $plan }** 将于 { $day } 续订。
manage-ends = - **{ $plan }** 将于 { $day } 结束，不再续订。
manage-runs = - **{ $plan }** 会一直有效，直到你取消。
manage-stars = 在 Telegram 的“设置”→“我的 Stars”中取消或恢复。
manage-stripe = 付款人可在网页或 Discord 中发送 `manage` 来取消或更改。
manage-discord = 在 Discord 的“用户设置”→“订阅”中取消或恢复。
manage-open = 更改或取消 { $plan }

hint-manage = 更改、取消或恢复订阅
hint-plans = 可以购买什么
hint-buy = 购买套餐或积分
hint-receipts = 你的付款
hint-redeem = 使用优惠码或邀请码
hint-gift = 送给别人套餐或积分
hint-refer = 你的邀请码
hint-link = 多个聊天共用一个账户
hint-paysupport = 付款帮助

admin-gifted = { $who } 获得 { $plan }，为期 { $days } 天。
admin-limited = { $who } 的限制（代替套餐）：{ $limits }。
admin-no-limit = 没有名为“{ $name }”的限制。有：{ $all }。
admin-no-payment = 没有付款 #{ $payment }。
admin-no-product = 没有商品“{ $product }”：应为 config.toml 里的 plan:NAME 或 pack:NAME。
admin-not-flagged = 付款 #{ $payment } 已经处理好了。
admin-refunded = 付款 #{ $payment } 已经退还。
admin-refund-sure = 付款 #{ $payment }：将退还 { $money }，同时收回 { $taken } 积分{ $owed ->
    [0] 。
   *[other] ，其中 { $owed } 已花掉，会成为欠款。
} 确认请发送：`admin refund { $payment } yes 原因`。
admin-refund-asked = 已请求：付款 #{ $payment }，{ $money }。支付方完成后收回 { $taken } 积分。
admin-settled = 付款 #{ $payment } 归 { $who }，商品 { $product }，现已发放。
admin-promo-made = 优惠码 { $code } 可用 { $uses } 次。
admin-promo-ended = 优惠码 { $code } 已停用。
admin-promo-exists = 已经有优惠码 { $code }。
admin-no-letter = 没有消息 #{ $letter }。
admin-no-provider = 这里没有启用支付方“{ $name }”。{ $providers ->
    [none] 尚未启用任何支付方：缺少它们的密钥。
   *[other] 已启用：{ $providers }。
}
admin-asked = 已请机器人执行：{ $what }。结果见 `admin flagged` 和审计记录。
stars-pack = { $credits } 积分，{ $days } 天内有效，付款后自动到账。
stars-plan = 每 { $days } 天 { $credits } 积分，自动续订；可随时在 Telegram 的“设置 › 我的星星”中取消。
checkout-unknown = 找不到这张账单。没有扣款；请发送 /buy 重新获取。
checkout-gone = 这个已经不再出售。没有扣款；发送 /plans 可查看现有商品。
checkout-price = 价格已变动。没有扣款；请发送 /buy 查看现在的价格。
checkout-others = 这张账单是开给别人的。没有扣款；请发送 /buy 获取你自己的。
checkout-banned = 此账户无法购买。没有扣款；请发送 /paysupport 询问原因。
checkout-expired = 这张账单已过期。没有扣款；请发送 /buy 重新获取。
checkout-paid = 这张账单已经付过。没有扣款；发送 /receipts 可查看付款记录。
checkout-away = 现在暂时无法收款。没有扣款；请过一分钟再试。

terms = 你在这里购买的是 { $name } 的积分和套餐；套餐会自动续订，直到你取消。积分用于支付你的创作，有效期以购买时所示为准。因我们的原因失败的任务不会收费。卖方是运营 { $name } 的人：**paysupport** 可帮助处理付款问题。
hint-terms = 购买条款
