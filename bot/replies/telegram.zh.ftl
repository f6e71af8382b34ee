### 只有 Telegram 需要的文字。其余在其他文件中。

telegram-open = 打开私聊
telegram-open-first = 这只给你看。请先打开与我的私聊并点击“开始”，再发一次；结果会在那里的 /jobs 中等你。
telegram-edit = 请回复此消息并写上新的文字。目前的文字如下，点按即可复制：
telegram-what = 要把这张图片变成什么？请回复它并写上文字，例如：改成夜晚
telegram-only-words = 我能理解文字和图片。说出你想要的，例如：一个红苹果
telegram-stale = 你发这条消息时我不在。如果还需要，请再发一次。
telegram-other-topic = 我不在这个话题里回答。群管理员为我选择了其他话题。
telegram-file-large = 此文件超过 Telegram 的 50 MB 上限，无法在这里发送。
telegram-inline-make = 生成这张图片
telegram-inline-waiting = 正在由 AI 生成……
telegram-inline-type = 输入你想看到的内容
telegram-inline-private = 在私聊中生成
telegram-inline-kept = 这是私密结果，已发送到我们的私聊。
telegram-no-rights = 我在此群没有发送图片的权限，结果已发送到你的私聊。管理员可以允许我发送图片和文件。

hint-sell = 在你的频道里出售图片
telegram-sell-usage = 请用 `/sell 50 @你的频道` 回复你的一张图片：在那里用 1 到 { $most } 颗星星解锁。收入归你的频道。
telegram-sell-what = 请用此命令回复你自己的、已完成的图片；别人的或已删除的不能出售。
telegram-sell-where = 必须是你和我都是管理员且可以发帖的频道。请先把我加为管理员，再试一次。
telegram-sell-later = Telegram 要求稍等。没有发布任何内容；请过一分钟再试。
telegram-sell-perhaps = 发布时被打断了：图片可能已经在你的频道里。请先去看看；如果没有，请再发一次命令。
telegram-sell-done = 好了：已在 { $channel } 以 { $stars } 颗星星发布。
