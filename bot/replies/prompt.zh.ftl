# What is wrong with a prompt, and what would be right. `option` and `value` are as the person wrote them.
prompt-empty = 请说明要生成什么，例如 `一个红苹果`。
prompt-only-options = 只有选项，没有内容：请同时说明要画什么或写什么。
prompt-too-long = 这段文字有 { $count } 个字符；提示词最多 { $limit } 个。请缩短。
prompt-unknown-option = 没有选项 `{ $option }`。可用的选项：{ $known }。如果只是破折号，请在后面加一个空格。
prompt-misspelt-option = 没有选项 `{ $option }`。
prompt-no-value = `{ $option }` 后面需要一个值。
prompt-not-whole = `{ $option }` 需要 { $low } 到 { $high } 之间的整数，不能是 `{ $value }`。
prompt-not-number = `{ $option }` 需要 { $low } 到 { $high } 之间的数字，不能是 `{ $value }`。
prompt-out-of-bounds = `{ $option }` 的范围是 { $low } 到 { $high }；`{ $value }` 超出了范围。
prompt-not-size = `{ $option }` 需要以像素为单位的宽x高，例如 `768x512`，不能是 `{ $value }`。
prompt-size-bounds = `{ $option }` 每边的范围是 { $low } 到 { $high } 像素；`{ $value }` 超出了范围。
prompt-not-aspect = `{ $option }` 需要宽:高，例如 `16:9`，不能是 `{ $value }`。
prompt-aspect-bounds = `{ $option }` 的范围是 1:4 到 4:1；`{ $value }` 超出了范围。
prompt-not-name = `{ $option }` 需要由字母和数字组成的名称，不能是 `{ $value }`。
prompt-not-words = `{ $option }` 需要不超过 60 个字符的普通文字，多个词请加引号。
prompt-not-choice = `{ $option }` 可选：{ $choices }，不能是 `{ $value }`。
prompt-conflict = `{ $first }` 与 `{ $second }` 互相矛盾：请只保留一个。
prompt-suggestion = 您是不是想写 `{ $suggestion }`？
prompt-here = 位置：{ $excerpt }

# Limits of the model and the plan
prompt-unknown-model = 没有可用于此的模型 `{ $value }`。可用：{ $known }。
prompt-other-kind = 模型 `{ $value }` 不用于此。可用：{ $known }。
prompt-model-plan = 您的套餐不包含模型 `{ $value }`。您可以使用 { $known }，或用 `/plans` 查看包含它的套餐。
prompt-unknown-style = 没有风格 `{ $value }`。可用：{ $known }。
prompt-no-styles = 没有风格 `{ $value }`：本机器人没有设置风格。请去掉 `--style`。
prompt-unknown-scheduler = 没有采样器 `{ $value }`。可用：{ $known }。
prompt-unknown-lora = `{ $model }` 没有 LoRA `{ $value }`。可用：{ $known }。
prompt-no-loras = `{ $model }` 没有 LoRA：请去掉 `--lora`。
prompt-model-limit = 使用 { $model } 时 `{ $option }` 最多为 { $limit }；您要求的是 { $value }。
prompt-plan-limit = 您的套餐中 `{ $option }` 最多为 { $limit }；您要求的是 { $value }。请调低，或用 `/plans` 查看上限更高的套餐。
prompt-model-pixels = { $model } 的图片最多 { $limit } 像素；{ $value } 是 { $count }。请选择更小的 `--size`，或改用 `--ar`。
prompt-plan-pixels = 您的套餐的图片最多 { $limit } 像素；{ $value } 是 { $count }。请选择更小的 `--size`，或用 `/plans` 查看上限更高的套餐。
prompt-model-chars = { $model } 最多读取 { $limit } 个字符；这段有 { $count } 个。请缩短。
prompt-strength-alone = `--strength` 表示结果可以偏离原图多少：请同时发送一张图片，或去掉它。
prompt-not-for-pictures = `{ $option }` 用于文本：请去掉它，或使用 `/write`。
prompt-not-for-texts = `{ $option }` 用于图片：请去掉它，或使用 `/imagine`。
