# What commands say.

submitted-left = { $left ->
    [0] That was your last credit for now
    [one] { $left } credit left
   *[other] { $left } credits left
}
example-write = write a short story about a brave mushroom
deleted = Deleted for good.

jobs-none = Nothing of yours is in line or running.
jobs-some = { $live ->
    [0] Nothing is in line
    [one] One job is on its way
   *[other] { $live } jobs are on their way
}{ $late ->
    [0] .
    [one] ; one result could not be brought to you and waits here.
   *[other] ; { $late } results could not be brought to you and wait here.
}

balance-total = **{ $credits ->
    [one] { $credits } credit
   *[other] { $credits } credits
}** to spend
balance-lot = - { $origin }: { $credits }
balance-lot-until = - { $origin }: { $credits }, good until { $until } UTC
balance-plan = Plan **{ $plan }**: { $running } at once, { $waiting } in line, up to { $count } pictures a prompt.
balance-debt = You owe { $debt ->
    [one] { $debt } credit
   *[other] { $debt } credits
}: a payment was taken back after its credits were used. The next credits that you buy or are given repay this first; your daily allowance is not touched.
lot-daily = Daily allowance
lot-monthly = Monthly allowance
lot-reward = Reward
lot-promo = Promo code
lot-referral = Referral
lot-gift = Gift
lot-pack = Pack

settings-show = Your defaults: `{ $options }`
    
    Send options to change them, for example `--style anime --ar 16:9`, or `reset` to clear them.
settings-reset = Your defaults are cleared.
settings-options-only = Settings are options only, such as `--style anime`. This is not one: “{ $text }”

help-intro = **{ $name }** turns your words into pictures and texts. Say what you want, and watch it being made.
help-commands = - **imagine** words: a picture. Send a picture along, or answer one, to start from it. Where a picture is transparent, only that part is drawn (on Telegram send it as a file).
    - **write** words: a text (`--kind article|post|story|ad|lesson|free`, `--length short|medium|long`, `--tone friendly`).
    - **jobs**: what is on its way. **balance**: your credits. **settings**: your defaults.
help-options = Options go anywhere among the words: `--ar 16:9` or `--size 768x512`, `--steps 20`, `--cfg 7`, `--seed 42`, `--no blur, text`, `--style NAME`, `--model NAME`, `-n 2`, `--private`.
help-models = Models here:
help-model = - `{ $name }`: { $title } ({ $licence }){ $starts ->
    [words] , from words only
   *[any] {""}
}{ $note ->
    [none] {""}
   *[other] . { $note }
}
help-styles = Styles: { $styles }
help-known = The starter model draws { $count } things, one at a time, in any of 14 colours and on 15 backgrounds (“a blue rocket on a pink background”). Among them: { $some }.
help-labels = Everything made here is labelled as AI-made, in words and inside the file.

banner-starter = This page runs on a **small starter model** that draws { $count } emoji-like things, such as { $examples }. It does not know the rest of the world; your operator can add larger models.

details-prompt = **Prompt:** { $prompt }
details-model = **Model:** { $model }
details-picture = **Settings:** { $width } × { $height }, { $steps } steps, guidance { $guidance }, seed { $seed }
details-strength = **Strength:** { $strength }
details-part = **Drawn:** only the part that was transparent
details-negative = **Without:** { $negative }
details-text = **Settings:** up to { $tokens } tokens, temperature { $temperature }
details-receipt = **Receipt:** job #{ $job }, { $paid } of { $price } credits charged{ $payer ->
    [group] {" "}to the group
   *[person] {""}
}, { $seconds } s on the device

refused-upscale = { $width } × { $height } is more than this model or your plan allows, so it can't be enlarged further.

admin-usage = - `admin grant WHO AMOUNT [REASON]`: give credits, or take them with a minus
    - `admin plan WHO PLAN [DAYS] [REASON]`: put someone on a plan
    - `admin user WHO`: look someone up (`discord:123`, `web:…` or `#12`)
    - `admin stats`: the instance in figures
    - `admin ban WHO REASON`, `admin unban WHO [REASON]`
    - `admin pool`: devices and queue; `admin pool drain DEVICE`, `admin pool resume DEVICE`, `admin pool cancel JOB`
    - `admin gift WHO PLAN DAYS`, `admin limit WHO running=1 …` (or `none`), `admin payments WHO`
    - `admin flagged`, `admin settle PAYMENT WHO PRODUCT`, `admin refund PAYMENT`, `admin replay NEWS`
    - `admin promo CODE CREDITS|PLAN DAYS USES`, `admin promo CODE end`, `admin promos`
    - `admin revenue [DAYS]`, `admin reconcile PROVIDER`
admin-ban-sure = { $who } would be banned, and see the reason. To do it: `{ $command }`.
admin-take-sure = { $amount } credits would be taken from { $who }. To do it: `{ $command }`.
admin-not-admin = This is for the admins named in config.toml.
admin-not-allowed = `{ $command }` needs one of these roles: { $roles }.
admin-no-account = There is no account “{ $who }”. Name it as #12, or as platform:id, for example discord:123.
admin-no-plan = There is no plan “{ $plan }”. There are: { $plans }.
admin-no-amount = “{ $text }” is not a number of credits. Use a whole number that is not 0.
admin-granted = { $who }: { $amount } credits; there are { $have } to spend now.
admin-planned = { $who } is on { $plan }{ $days ->
    [0] {" "}until changed.
    [one] {" "}for one day.
   *[other] {" "}for { $days } days.
}
admin-debt = { $debt ->
    [one] { $debt } credit is
   *[other] { $debt } credits are
} owed: a payment was taken back after they were used. What is bought or granted next repays this first, the daily allowance never.
admin-banned = { $who } is banned, and reads so at the next try.
admin-device-drain = { $device } takes no more jobs. What runs there finishes; `admin pool` shows when it is drained.
admin-device-resume = { $device } takes jobs again.
admin-job-cancelled = Job #{ $job } is being cancelled.
admin-no-device = There is no device “{ $device }”. There are: { $devices }.
admin-no-job = There is no job “{ $job }”. Name it by its number, for example 12.
admin-unbanned = { $who } may use the bot again.

hint-imagine = A picture from your words, or from a picture and your words
hint-write = A text from your words
hint-jobs = What of yours is in line, running, or could not be brought to you
hint-balance = Your credits and your plan
hint-settings = Your own defaults
hint-help = How to ask, which models and styles there are
hint-ar = Shape, such as 16:9
hint-size = Exact size in pixels, such as 768x512
hint-steps = How many steps: more is slower and finer
hint-cfg = How closely to follow the words
hint-seed = The same number makes the same picture
hint-no = What to leave out
hint-style = A style preset
hint-model = Another model
hint-count = How many pictures
hint-private = Only you see it
hint-kind = Article, post, story, ad, lesson or free
hint-length = Short, medium, long or a number of words
hint-tone = How it should sound

start = **{ $name }** makes pictures and texts from your words. Say what you want, or tap one:

privacy = **What { $name } keeps.** Your prompts and results, so that you can find them again: pictures and texts are removed after { $days } days, or at once when you delete them. Receipts stay for the books, without your words after you erase them. Prompts never go into logs, and private results are shown to nobody else.
    
    `privacy erase` removes all your prompts, results and pictures.
privacy-sure = This removes all your prompts, results and pictures for good; your credits stay. If you are sure: `privacy erase yes`
privacy-erased = All your prompts, results and pictures are erased.

claim-done = You are an owner of this bot now: `admin` shows what you can do.
claim-refused = This code is wrong, too old or used already. `atelier claim` on the console prints a new one.

setup-show = **This place:** channels: { $channels } · threads: { $threads } · spoilers: { $spoilers } · jobs an hour: { $hourly ->
    [0] no cap
   *[other] { $hourly }
} · language: { $language }
    
    Change it with `--channels here`, `--channels all`, `--threads on`, `--spoilers on`, `--hourly 20`, `--language en|zh|auto`.
setup-all = all
setup-on = on
setup-off = off
setup-only-groups = This is for servers and groups; here everything is yours.
setup-not-allowed = Only those who manage this place can change how I behave in it.
setup-usage = I don't know what to do with “{ $option }”. Use `--channels`, `--threads`, `--spoilers`, `--hourly` or `--language`, each with a value.
setup-hourly = Jobs an hour is a whole number up to { $limit }; 0 means no cap.
setup-switch = “{ $option }” is on or off.
setup-language = The language is en, zh or auto.
setup-channels = Channels are `here`, `all`, or their ids with commas between.
refused-hourly = This place has made its { $hourly } for this hour. It goes on at the full hour; in a private chat with me you still can.
hint-setup = How I behave in this place
hint-privacy = What is kept of you, and erasing it
hint-start = What this is
