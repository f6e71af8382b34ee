refused-provider-away = 支付服务暂时没有回应。没有扣款，请过一分钟再试。

notice-paid-pack = 谢谢！{ $product } 已到账：增加 { $credits } 点数。发送 **receipts** 可查看付款记录。
notice-paid-plan = 谢谢！{ $product } 已生效，本期含 { $credits } 点数。发送 **receipts** 可查看付款记录。
notice-refunded = { $product } 的付款已退还，相应的 { $credits } 点数也已收回。
notice-flagged = 有一笔付款需要你查看：{ $provider } 的 #{ $payment }（{ $flag }）。处理之前会一直保留。
button-buy = 购买
