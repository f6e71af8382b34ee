### 网页自身的标签与语句。机器人所说的话在其他文件中。

web-about = 让文字化作图画与文章，就在这台机器上完成。
web-skip = 跳到输入框
web-noscript = 此页面需要 JavaScript。请启用后重新加载。
web-back = 返回 { $name }

web-chat = 对话
web-gallery = 画廊
web-balance = 余额
web-settings = 设置
web-help = 帮助
web-language = 语言
web-close = 关闭
web-dismiss = 收起
web-you = 你的请求

web-send = 发送
web-attach = 添加图片
web-attachment-remove = 移除图片
web-private = 私密
web-private-mark = 私密
web-picture = 图画
web-text = 文字
web-prompt-picture = 描述一幅画……
web-prompt-text = 想让我写些什么？
web-editing = 正在修改 #{ $job }
web-editing-remove = 停止修改
web-options-found = 建议：{ $count }。方向键选择，Tab 键采用。
web-too-large = 这张图片太大了：最大 { $megabytes } MB。
web-not-a-picture = 这不是 PNG、JPEG 或 WebP 图片。

web-empty-title = 今天想创作什么？
web-empty-picture = 说说你想看到的画面，几个词就够了。
web-empty-text = 说说你想读到的内容，几个词就够了。
web-gallery-empty = 你的作品会挂在这里。

web-sending = 正在发送……
web-unsent = 未能发送。
web-retry = 重试
web-offline = 正在重新连接……
web-loading = 正在加载……
web-failed-load = 加载失败。
web-earlier = 更早的内容
web-more = 更多
web-latest = 回到最新
web-really-delete = 确定删除？
web-in-line = 排队中
web-working = 创作中
web-stopped = 已停止
web-deleted = 已删除
web-picture-ready = 图画已完成。
web-text-ready = 文字已完成。
web-new-result = 已完成

web-open-picture = 放大
web-picture-of = 第 { $index } 张，共 { $count } 张
web-previous = 上一张
web-next = 下一张
web-settings-change = 更改默认值
web-settings-example = --ar 16:9 --steps 20
web-apply = 应用

web-admin = 管理台
web-admin-sections = 栏目
web-admin-empty = 暂无内容。
web-admin-newer = 较新
web-admin-older = 较早
web-section-pool = 设备
web-section-queue = 队列
web-section-jobs = 任务
web-section-accounts = 账户
web-section-revenue = 30 天收入
web-section-flagged = 待处理
web-section-ledger = 账本
web-section-audit = 审计

web-error-reload = 此页面的会话已失效，请重新加载。
web-error-csrf = 此页面已过期，请重新加载。
web-error-origin = 此请求来自其他网站，未被接受。
web-error-host = 服务器不认识这个名称。管理员可在 config.toml 的网页主机名中添加它。
web-error-body = 无法理解这个请求。请重新加载页面后再试。
web-error-large = 内容太大。图片最大为 { $megabytes } MB。
web-error-slow = 传输时间过长，请重试。
web-error-missing = 此地址没有内容。
web-error-method = 此地址不能这样使用。
web-error-feeds = 此页面打开得太多了，请关闭一些。
web-error-inside = 这里出了点问题，请稍后再试。
web-error-link = 此链接已过期。请在页面中重新打开图片。
web-error-gone = 此文件已被删除。
web-error-admin = 此链接已被使用或已过期。请在服务器命令行中重新生成。

web-plans = 套餐
web-paid = 谢谢！款项确认后，你购买的内容会自动到账，并在你下单的地方通知你：银行卡几秒钟，银行转账或代扣可能需要几天。可以关闭此页面。
web-unpaid = 没有付款，也没有扣款。你选择的商品仍在出售，随时可以再次打开。
