# What is wrong with a prompt, and what would be right. `option` and `value` are as the person wrote them.
prompt-empty = Say what to make, for example `a red apple`.
prompt-only-options = There are options but nothing to make: say what to draw or write as well.
prompt-too-long = That is { $count } characters; a prompt has at most { $limit }. Please shorten it.
prompt-unknown-option = I don't know the option `{ $option }`. The options are { $known }. If you meant a dash, put a space after it.
prompt-misspelt-option = I don't know the option `{ $option }`.
prompt-no-value = `{ $option }` needs a value after it.
prompt-not-whole = `{ $option }` takes a whole number from { $low } to { $high }, not `{ $value }`.
prompt-not-number = `{ $option }` takes a number from { $low } to { $high }, not `{ $value }`.
prompt-out-of-bounds = `{ $option }` goes from { $low } to { $high }; `{ $value }` is outside.
prompt-not-size = `{ $option }` takes width x height in pixels, like `768x512`, not `{ $value }`.
prompt-size-bounds = Each side of `{ $option }` goes from { $low } to { $high } pixels; `{ $value }` is outside.
prompt-not-aspect = `{ $option }` takes width:height, like `16:9`, not `{ $value }`.
prompt-aspect-bounds = `{ $option }` goes from 1:4 to 4:1; `{ $value }` is outside.
prompt-not-name = `{ $option }` takes a name of letters and digits, not `{ $value }`.
prompt-not-words = `{ $option }` takes up to 60 characters of plain words, in quotes if there are several.
prompt-not-choice = `{ $option }` takes one of { $choices }, not `{ $value }`.
prompt-conflict = `{ $first }` and `{ $second }` contradict each other: keep one of them.
prompt-suggestion = Did you mean `{ $suggestion }`?
prompt-here = Here: { $excerpt }

# Limits of the model and the plan
prompt-unknown-model = There is no model `{ $value }` for this. There are: { $known }.
prompt-other-kind = The model `{ $value }` makes something else. For this there are: { $known }.
prompt-model-plan = The model `{ $value }` isn't part of your plan. You can use { $known }, or `/plans` shows the plans that have it.
prompt-unknown-style = There is no style `{ $value }`. There are: { $known }.
prompt-no-styles = There is no style `{ $value }`: this bot has no styles. Leave `--style` out.
prompt-unknown-scheduler = There is no scheduler `{ $value }`. There are: { $known }.
prompt-unknown-lora = `{ $model }` has no LoRA `{ $value }`. There are: { $known }.
prompt-no-loras = `{ $model }` has no LoRAs: leave `--lora` out.
prompt-model-limit = `{ $option }` goes up to { $limit } with { $model }; you asked for { $value }.
prompt-plan-limit = `{ $option }` goes up to { $limit } on your plan; you asked for { $value }. Lower it, or `/plans` shows the plans that allow more.
prompt-model-pixels = { $model } makes pictures of up to { $limit } pixels; { $value } is { $count }. Choose a smaller `--size`, or use `--ar`.
prompt-plan-pixels = Your plan allows pictures of up to { $limit } pixels; { $value } is { $count }. Choose a smaller `--size`, or `/plans` shows the plans that allow more.
prompt-model-chars = { $model } reads up to { $limit } characters; this is { $count }. Please shorten it.
prompt-strength-alone = `--strength` says how far a result may go from a picture: send a picture with it, or leave it out.
prompt-not-for-pictures = `{ $option }` is for texts: leave it out, or use `/write`.
prompt-not-for-texts = `{ $option }` is for pictures: leave it out, or use `/imagine`.
