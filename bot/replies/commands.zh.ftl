# 命令的文字。

submitted-left = { $left ->
    [0] 这是你目前最后的积分
   *[other] 还剩 { $left } 积分
}
example-write = 写一个关于勇敢蘑菇的小故事
deleted = 已永久删除。

jobs-none = 你没有正在排队或运行的任务。
jobs-some = { $live ->
    [0] 没有排队的任务
   *[other] 有 { $live } 个任务正在进行
}{ $late ->
    [0] 。
   *[other] ；有 { $late } 个结果没能送达，在这里等你。
}

balance-total = 可用 **{ $credits } 积分**
balance-lot = - { $origin }：{ $credits }
balance-lot-until = - { $origin }：{ $credits }，有效期至 { $until } UTC
balance-plan = 套餐 **{ $plan }**：同时运行 { $running } 个，排队 { $waiting } 个，每个提示词最多 { $count } 张图。
balance-debt = 你还欠 { $debt } 积分：有一笔付款在积分用掉之后被退回。之后购买或得到的积分会先用来偿还，每日额度不受影响。
lot-daily = 每日额度
lot-monthly = 每月额度
lot-reward = 奖励
lot-promo = 优惠码
lot-referral = 推荐奖励
lot-gift = 赠送
lot-pack = 积分包

settings-show = 你的默认选项：`{ $options }`
    
    发送选项即可修改，例如 `--style anime --ar 16:9`；发送 `reset` 清除。
settings-reset = 已清除你的默认选项。
settings-options-only = 设置只接受选项，例如 `--style anime`。这不是选项：“{ $text }”

help-intro = **{ $name }** 把你的文字变成图片和文章。说出你想要的，看着它生成。
help-commands = - **imagine** 文字：生成图片。附上一张图片，或回复一张图片，即可以它为起点。图片若有透明部分，则只绘制该部分（在 Telegram 请以文件形式发送）。
    - **write** 文字：生成文章（`--kind article|post|story|ad|lesson|free`、`--length short|medium|long`、`--tone friendly`）。
    - **jobs**：进行中的任务。**balance**：你的积分。**settings**：你的默认选项。
help-options = 选项可放在任意位置：`--ar 16:9` 或 `--size 768x512`、`--steps 20`、`--cfg 7`、`--seed 42`、`--no 模糊, 文字`、`--style 名称`、`--model 名称`、`-n 2`、`--private`。
help-models = 这里的模型：
help-model = - `{ $name }`：{ $title }（{ $licence }）{ $starts ->
    [words] ，只能根据文字作画
   *[any] {""}
}{ $note ->
    [none] {""}
   *[other] 。{ $note }
}
help-styles = 风格：{ $styles }
help-known = 入门模型会画 { $count } 种东西，每次一种，可指定 14 种颜色和 15 种背景（请用英文，例如 “a blue rocket on a pink background”）。其中有：{ $some }。
help-labels = 这里生成的一切都标明由 AI 制作，文字和文件中都有标注。

banner-starter = 本页使用一个**小型入门模型**，会画 { $count } 种表情符号风格的东西，例如 { $examples }。它不认识其他事物；管理员可以添加更大的模型。

details-prompt = **提示词：** { $prompt }
details-model = **模型：** { $model }
details-picture = **参数：** { $width } × { $height }，{ $steps } 步，引导 { $guidance }，种子 { $seed }
details-strength = **强度：** { $strength }
details-part = **绘制范围：** 仅原图透明的部分
details-negative = **排除：** { $negative }
details-text = **参数：** 最多 { $tokens } 个词元，温度 { $temperature }
details-receipt = **收据：** 任务 #{ $job }，{ $payer ->
    [group] 由群组
   *[person] {""}
}扣除 { $paid } / { $price } 积分，设备用时 { $seconds } 秒

refused-upscale = { $width } × { $height } 超出此模型或你的套餐的上限，无法再放大。

admin-usage = - `admin grant 对象 数量 [原因]`：赠送积分，负数为收回
    - `admin plan 对象 套餐 [天数] [原因]`：设置套餐
    - `admin user 对象`：查询（`discord:123`、`web:…` 或 `#12`）
    - `admin stats`：总体数据
    - `admin ban 对象 原因`、`admin unban 对象 [原因]`
    - `admin pool`：设备与队列；`admin pool drain 设备`、`admin pool resume 设备`、`admin pool cancel 任务`
    - `admin gift 对象 套餐 天数`、`admin limit 对象 running=1 …`（或 `none`）、`admin payments 对象`
    - `admin flagged`、`admin settle 付款 对象 商品`、`admin refund 付款`、`admin replay 消息`
    - `admin promo 代码 积分|套餐 天数 次数`、`admin promo 代码 end`、`admin promos`
    - `admin revenue [天数]`、`admin reconcile 支付方`
admin-ban-sure = 将封禁 { $who }，对方会看到原因。确认请发送：`{ $command }`。
admin-take-sure = 将从 { $who } 收回 { $amount } 积分。确认请发送：`{ $command }`。
admin-not-admin = 此命令仅限 config.toml 中列出的管理员。
admin-not-allowed = `{ $command }` 需要以下角色之一：{ $roles }。
admin-no-account = 没有账户“{ $who }”。请用 #12 或 平台:编号 指定，例如 discord:123。
admin-no-plan = 没有套餐“{ $plan }”。可用的有：{ $plans }。
admin-no-amount = “{ $text }”不是有效的积分数。请用非 0 整数。
admin-granted = { $who }：{ $amount } 积分；现在可用 { $have }。
admin-planned = { $who } 的套餐已设为 { $plan }{ $days ->
    [0] ，直到更改。
   *[other] ，为期 { $days } 天。
}
admin-debt = 欠 { $debt } 积分：有一笔付款在积分用掉之后被退回。之后购买或发放的积分会先用来偿还，每日额度除外。
admin-banned = { $who } 已被封禁，下次使用时会看到提示。
admin-device-drain = { $device } 不再接收新任务，正在运行的会完成；`admin pool` 会显示何时已排空。
admin-device-resume = { $device } 已恢复接收任务。
admin-job-cancelled = 正在取消任务 #{ $job }。
admin-no-device = 没有设备“{ $device }”。现有：{ $devices }。
admin-no-job = 没有任务“{ $job }”。请用编号指定，例如 12。
admin-unbanned = { $who } 已可再次使用。

hint-imagine = 用文字生成图片，也可以从一张图片开始
hint-write = 用文字生成文章
hint-jobs = 排队中、进行中和未能送达的任务
hint-balance = 你的积分和方案
hint-settings = 你自己的默认选项
hint-help = 如何提问，有哪些模型和风格
hint-ar = 比例，例如 16:9
hint-size = 准确的像素尺寸，例如 768x512
hint-steps = 步数：越多越慢也越精细
hint-cfg = 贴合文字的程度
hint-seed = 相同数字生成相同图片
hint-no = 要排除的内容
hint-style = 风格预设
hint-model = 其他模型
hint-count = 图片数量
hint-private = 仅你可见
hint-kind = article、post、story、ad、lesson 或 free
hint-length = short、medium、long 或字数
hint-tone = 语气

start = **{ $name }** 用你的文字生成图片和文章。说出你想要的，或点一个：

privacy = **{ $name } 保存什么。** 保存你的提示词和结果，方便你再次找到：图片和文章在 { $days } 天后删除，你删除时立即删除。收据为记账保留；清除后不含你的文字。提示词不会写入日志，私密结果不会给别人看。
    
    `privacy erase` 删除你的所有提示词、结果和图片。
privacy-sure = 这将永久删除你的所有提示词、结果和图片；积分保留。如果确定：`privacy erase yes`
privacy-erased = 你的所有提示词、结果和图片已清除。

claim-done = 你现在是这个机器人的所有者：`admin` 显示你能做什么。
claim-refused = 此代码错误、过期或已使用。在控制台运行 `atelier claim` 可获得新代码。

setup-show = **此处：** 频道：{ $channels } · 帖子：{ $threads } · 剧透遮罩：{ $spoilers } · 每小时任务：{ $hourly ->
    [0] 不限
   *[other] { $hourly }
} · 语言：{ $language }
    
    用 `--channels here`、`--channels all`、`--threads on`、`--spoilers on`、`--hourly 20`、`--language en|zh|auto` 修改。
setup-all = 全部
setup-on = 开
setup-off = 关
setup-only-groups = 这用于服务器和群组；这里的一切都属于你。
setup-not-allowed = 只有管理此处的人可以更改我的行为。
setup-usage = 我不知道如何处理“{ $option }”。请使用 `--channels`、`--threads`、`--spoilers`、`--hourly` 或 `--language`，并各带一个值。
setup-hourly = 每小时任务数是不超过 { $limit } 的整数；0 表示不限。
setup-switch = “{ $option }”只能是 on 或 off。
setup-language = 语言是 en、zh 或 auto。
setup-channels = 频道是 `here`、`all`，或用逗号分隔的编号。
refused-hourly = 此处本小时的 { $hourly } 个任务已用完，整点后继续；私聊我仍可使用。
hint-setup = 我在此处的行为
hint-privacy = 保存了什么，以及如何清除
hint-start = 这是什么
