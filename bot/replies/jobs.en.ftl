# What jobs say: status lines, refusals, failures, buttons.

label-ai = Made with AI · { $model }
alt-picture = A picture made with AI for the prompt: { $prompt }

status-waiting = In line · { $price ->
    [one] { $price } credit
   *[other] { $price } credits
}
status-place = #{ $place } in line, about { $seconds } s · { $price ->
    [one] { $price } credit
   *[other] { $price } credits
}
status-retry = Something went wrong on our side; trying again in a moment, at no cost
status-starting = Getting ready …
status-step = Step { $step } of { $steps }
status-writing = Writing …
status-cancelling = Stopping at the next step …
status-done = Done · { $paid ->
    [0] free
    [one] { $paid } credit
   *[other] { $paid } credits
}
status-cancelled = Cancelled · { $paid ->
    [0] nothing was charged
    [one] { $paid } credit for the part that was done
   *[other] { $paid } credits for the part that was done
}
status-group = paid by the group
status-unread = The model did not read “{ $words }”: that was too long for it. Put what matters first, or use fewer words.
status-gone = Its files are past their time and were removed
status-deleted = Deleted
fitted-picture = fitted to your plan: { $width } × { $height }, { $steps } steps, { $count ->
    [one] one picture
   *[other] { $count } pictures
}
fitted-text = fitted to your plan: at most { $tokens } tokens

failed-other = This did not work, through our fault. Your credits are back; press Again to retry.
failed-bad-input = The picture to start from could not be read any more, or the size does not suit the model. Your credits are back; send the picture again, or choose another size.
failed-prompt-too-long = This is longer than the model can read. Your credits are back; say it in fewer words.
failed-bad-output = The model gave nothing usable this time. Your credits are back; try another seed or wording.
failed-queue-timeout = It waited too long and was taken out of the line. Your credits are back; press Again when it is calmer.
failed-timeout = It took longer than allowed and was stopped. Your credits are back; { $kind ->
    [text] ask for a shorter text
   *[image] try fewer steps or a smaller size
}.
failed-crowded = Too much ran beside it, so it was stopped. Your credits are back; press Again when it is calmer.
failed-out-of-memory = This is too large for the machine. Your credits are back; try a smaller size.
failed-model-unavailable = This model can't be loaded here at the moment. Your credits are back; pick another with --model.
failed-lora-unavailable = A LoRA can't be used with this model. Your credits are back; leave out --lora, or pick another.
failed-storage = The result could not be saved. Your credits are back; press Again in a while.

refused-account = This account no longer exists. Reload to start with a new one.
refused-banned = You can't make anything here for now.{ $reason ->
    [none] {""}
   *[other] {" "}Reason: { $reason }.
} Write to the operator if this is a mistake.
refused-event = This event belongs to somebody else, so nothing was done.
refused-model-gone = There is no model named “{ $model }” here any more. See `help` for those there are.
refused-model-plan = { $model } is not part of your plan. Pick another with --model, or ask for a bigger plan.
refused-from-picture = { $task ->
    [part] { $model } can't redraw a part of a picture. Send it without transparent parts{ $able ->
        [none] .
       *[other] , or choose a model that can: { $able }.
    }
   *[whole] { $model } makes pictures from words only. { $able ->
        [none] Ask again without a picture.
       *[other] Ask again without a picture, or choose a model that starts from one: { $able }.
    }
}
refused-rate = Your limit is { $per_minute } in a minute. It is your turn again in { $seconds ->
    [one] one second
   *[other] { $seconds } seconds
}: send it again then.
refused-waiting = You have { $waiting ->
    [one] one job
   *[other] { $waiting } jobs
} in line already, which is your limit. It can be sent as soon as one has started; `jobs` shows them.
refused-credits = This costs { $price ->
    [one] { $price } credit
   *[other] { $price } credits
} and you have { $available }. Your free credits come back in { $hours ->
    [one] one hour
   *[other] { $hours } hours
} (00:00 UTC); a smaller size, fewer steps or a lower count costs less.
refused-network = Today's free credits for your network went to another session. They come back at 00:00 UTC. If that session was yours, open it again in the browser where you started.
refused-budget = Today's free capacity is used up. It is back in { $hours ->
    [one] one hour
   *[other] { $hours } hours
} (00:00 UTC).
refused-place-budget = Today's free capacity of this place is used up. It is back in { $hours ->
    [one] one hour
   *[other] { $hours } hours
} (00:00 UTC); in a private chat with me you still have your own.
refused-not-yours = That belongs to somebody else.
refused-already-over = That is over already.
refused-deleted = That was deleted, so there is nothing to work with.
refused-button = This button is too old or was not made by me. Ask again with the command.
refused-button-here = This button doesn't work for this kind of result.
refused-storage = I can't save anything right now, so nothing was done or charged. Try again in a minute.
refused-internal = Something went wrong on our side. Nothing was charged; try again.
refused-once-more = You pressed this a moment ago. Press it once more if you want it again.
refused-empty = Say what to make, for example: { $example }
refused-unknown-command = There is no command “{ $command }”. Did you mean “{ $nearest }”?
refused-attachment-gone = The picture was taken away before I could read it. Send it again.
refused-picture = { $reason ->
    [too_large_bytes] The picture file is too large: { $limit_mb } MB is the most.
    [too_many_pixels] The picture has too many pixels: { $pixels } are the most, width times height. Make it smaller and send it again.
    [too_small] The picture is too small: { $side } pixels are the least for each side. Send a larger one.
    [not_a_picture] This is not a PNG, JPEG or WebP picture.
    [truncated] The picture is cut off. Send it again.
   *[other] The picture can't be read. Send it as PNG, JPEG or WebP.
}
refused-picture-for-text = I can't read pictures for a text yet. Send the words alone.

button-again = Again
button-edit = Edit
button-vary = Vary
button-upscale = Upscale
button-details = Details
button-original = Original
button-delete = Delete
button-cancel = Cancel
