# 任务的文字：状态、拒绝、失败、按钮。

label-ai = 由 AI 生成 · { $model }
alt-picture = 根据提示词由 AI 生成的图片：{ $prompt }

status-waiting = 排队中 · { $price } 积分
status-place = 排在第 { $place } 位，约 { $seconds } 秒 · { $price } 积分
status-retry = 我们这边出了点问题，马上免费重试
status-starting = 准备中……
status-step = 第 { $step } 步，共 { $steps } 步
status-writing = 正在写……
status-cancelling = 将在下一步停止……
status-done = 完成 · { $paid ->
    [0] 免费
   *[other] { $paid } 积分
}
status-cancelled = 已取消 · { $paid ->
    [0] 未扣积分
   *[other] 已完成的部分扣了 { $paid } 积分
}
status-group = 由群组支付
status-unread = 太长了，模型没有读到“{ $words }”。请把重要的写在前面，或用更少的词。
status-gone = 文件已过保存期，已被删除
status-deleted = 已删除
fitted-picture = 已按你的套餐调整：{ $width } × { $height }，{ $steps } 步，{ $count } 张
fitted-text = 已按你的套餐调整：最多 { $tokens } 个 token

failed-other = 没有成功，是我们的问题。积分已退回；点“再来一次”重试。
failed-bad-input = 起始图片已无法读取，或尺寸不适合此模型。积分已退回；请重新发送图片，或换一个尺寸。
failed-prompt-too-long = 这比模型能读的还要长。积分已退回；请用更少的词。
failed-bad-output = 模型这次没有给出可用的结果。积分已退回；换一个种子或说法试试。
failed-queue-timeout = 等待太久，已移出队列。积分已退回；空闲时点“再来一次”。
failed-timeout = 超过允许的时间，已停止。积分已退回；{ $kind ->
    [text] 请让它写短一些
   *[image] 请减少步数或尺寸
}。
failed-crowded = 同时运行的任务太多，已停止。积分已退回；空闲时点“再来一次”。
failed-out-of-memory = 这对本机来说太大了。积分已退回；请减小尺寸。
failed-model-unavailable = 这个模型目前无法加载。积分已退回；请用 --model 换一个。
failed-lora-unavailable = 有一个 LoRA 不能用于这个模型。积分已退回；请去掉 --lora，或换一个。
failed-storage = 结果无法保存。积分已退回；过一会儿点“再来一次”。

refused-account = 这个账户已不存在。请刷新以新建账户。
refused-banned = 你暂时不能在这里生成内容。{ $reason ->
    [none] {""}
   *[other] 原因：{ $reason }。
}如有误请联系管理员。
refused-event = 这个事件属于别人，未做任何处理。
refused-model-gone = 这里已没有名为“{ $model }”的模型。可用的模型见“帮助”。
refused-model-plan = 你的套餐不包含 { $model }。请用 --model 换一个，或申请更高的套餐。
refused-from-picture = { $task ->
    [part] { $model } 不能重画图片的一部分。请发送没有透明部分的图片{ $able ->
        [none] 。
       *[other] ，或换用可以的模型：{ $able }。
    }
   *[whole] { $model } 只能根据文字作画。{ $able ->
        [none] 请不带图片再发一次。
       *[other] 请不带图片再发一次，或换用可以从图片开始的模型：{ $able }。
    }
}
refused-rate = 每分钟最多 { $per_minute } 个。再过 { $seconds } 秒就轮到你了，届时请重新发送。
refused-waiting = 你已有 { $waiting } 个任务在排队，达到上限。有一个开始后就能再发；“任务”里可查看。
refused-credits = 这需要 { $price } 积分，你有 { $available }。免费积分将在 { $hours } 小时后恢复（UTC 00:00）；减小尺寸、步数或数量可以更便宜。
refused-network = 今天给你所在网络的免费积分已给了另一个会话，UTC 00:00 恢复。如果那是你的会话，请在原来的浏览器里打开。
refused-budget = 今天的免费容量已用完，{ $hours } 小时后恢复（UTC 00:00）。
refused-place-budget = 这里今天的免费容量已用完，{ $hours } 小时后恢复（UTC 00:00）；私聊我仍可使用你自己的份额。
refused-not-yours = 那是别人的。
refused-already-over = 那个已经结束了。
refused-deleted = 那个已被删除，无法继续。
refused-button = 这个按钮太旧，或不是我发的。请用命令重新请求。
refused-button-here = 这个按钮不适用于这种结果。
refused-storage = 我现在无法保存任何内容，所以什么也没做，也没有扣费。请一分钟后再试。
refused-internal = 我们这边出了点问题。没有扣费；请再试一次。
refused-once-more = 你刚刚按过。如果还要，请再按一次。
refused-empty = 请说要生成什么，例如：{ $example }
refused-unknown-command = 没有“{ $command }”这个命令。你是想用“{ $nearest }”吗？
refused-attachment-gone = 还没来得及读取，图片就被撤走了。请重新发送。
refused-picture = { $reason ->
    [too_large_bytes] 图片文件太大：最多 { $limit_mb } MB。
    [too_many_pixels] 图片像素太多：宽乘高最多 { $pixels } 像素。请缩小后再发。
    [too_small] 图片太小：每边至少 { $side } 像素。请换一张大一些的。
    [not_a_picture] 这不是 PNG、JPEG 或 WebP 图片。
    [truncated] 图片不完整。请重新发送。
   *[other] 图片无法读取。请用 PNG、JPEG 或 WebP 格式发送。
}
refused-picture-for-text = 写作暂时不支持图片。请只发文字。

button-again = 再来一次
button-edit = 修改
button-vary = 变化
button-upscale = 放大
button-details = 详情
button-original = 原图
button-delete = 删除
button-cancel = 取消
