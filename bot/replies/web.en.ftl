### Labels and sentences of the web page itself. What the bot says is in the other files.

web-about = Words become pictures and texts, made on this machine.
web-skip = Skip to the message box
web-noscript = This page needs JavaScript. Please switch it on and reload.
web-back = Back to { $name }

web-chat = Chat
web-gallery = Gallery
web-balance = Balance
web-settings = Settings
web-help = Help
web-language = Language
web-close = Close
web-dismiss = Dismiss
web-you = You asked

web-send = Send
web-attach = Add a picture
web-attachment-remove = Remove the picture
web-private = Private
web-private-mark = Private
web-picture = Picture
web-text = Text
web-prompt-picture = Describe a picture…
web-prompt-text = What shall I write?
web-editing = Editing #{ $job }
web-editing-remove = Stop editing
web-options-found = Suggestions: { $count }. Arrow keys choose, Tab accepts.
web-too-large = This picture is too large: { $megabytes } MB is the most.
web-not-a-picture = This is not a PNG, JPEG or WebP picture.

web-empty-title = What shall we make?
web-empty-picture = Say what you want to see. A few words are enough.
web-empty-text = Say what you want to read. A few words are enough.
web-gallery-empty = Your pictures will hang here.

web-sending = Sending…
web-unsent = This was not sent.
web-retry = Try again
web-offline = Reconnecting…
web-loading = Loading…
web-failed-load = This could not be loaded.
web-earlier = Earlier
web-more = More
web-latest = To the latest
web-really-delete = Really delete?
web-in-line = In line
web-working = At work
web-stopped = Stopped
web-deleted = Deleted
web-picture-ready = The picture is ready.
web-text-ready = The text is ready.
web-new-result = Ready

web-open-picture = Enlarge
web-picture-of = Picture { $index } of { $count }
web-previous = Previous
web-next = Next
web-settings-change = Change a default
web-settings-example = --ar 16:9 --steps 20
web-apply = Apply

web-admin = Desk
web-admin-sections = Sections
web-admin-empty = Nothing here.
web-admin-newer = Newer
web-admin-older = Older
web-section-pool = Devices
web-section-queue = Queue
web-section-jobs = Jobs
web-section-accounts = Accounts
web-section-revenue = Revenue, 30 days
web-section-flagged = Needs a decision
web-section-ledger = Ledger
web-section-audit = Audit

web-error-reload = This page has lost its session. Please reload it.
web-error-csrf = This page is out of date. Please reload it.
web-error-origin = This request came from another site and was not accepted.
web-error-host = This server is not known under that name. The operator can add it to the web hosts in config.toml.
web-error-body = That request could not be understood. Please reload the page and try again.
web-error-large = That is too large. A picture may have at most { $megabytes } MB.
web-error-slow = That took too long to arrive. Please try again.
web-error-missing = There is nothing at this address.
web-error-method = This address cannot be used that way.
web-error-feeds = This page is open in too many places. Close some of them.
web-error-inside = Something went wrong here. Please try again in a moment.
web-error-link = This link has expired. Open the picture again from the page.
web-error-gone = This file has been deleted.
web-error-admin = This link has been used or has expired. Make a new one on the server's command line.

web-plans = Plans
web-paid = Thank you! As soon as the money is confirmed, what you bought is added by itself and you are told where you ordered it: within seconds for cards, up to a few days for bank transfers and debits. You may close this page.
web-unpaid = Nothing was paid and nothing was charged. What you chose stays on offer: open it again whenever you like.
