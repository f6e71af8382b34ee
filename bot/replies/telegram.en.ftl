### What only Telegram needs to say. Everything else is in the other files.

telegram-open = Open our chat
telegram-open-first = This is only for you. Open a private chat with me and press Start, then ask again; results wait for you in /jobs there.
telegram-edit = Answer this message with the new words. These are the ones so far; tap to copy them:
telegram-what = What should I make of this picture? Answer it with words, for example: make it night
telegram-only-words = I understand words and pictures. Say what to make, for example: a red apple
telegram-stale = I was away when you wrote this. Send it again if you still want it.
telegram-other-topic = I don't answer in this topic. Those who manage this group chose others for me.
telegram-file-large = This file is over Telegram's 50 MB, so I can't send it here.
telegram-inline-make = Make this picture
telegram-inline-waiting = Being made with AI …
telegram-inline-type = Type what you want to see
telegram-inline-private = Make it in a chat with me
telegram-inline-kept = This one is private: it was sent to our own chat.
telegram-no-rights = I may not send photos in this group, so the result went to your private chat. An admin can allow me photos and files.

hint-sell = Sell a picture in your channel
telegram-sell-usage = Answer one of your pictures with `/sell 50 @yourchannel`: 1 to { $most } Stars unlock it there. What it earns is your channel's.
telegram-sell-what = Answer a finished picture of your own with this command; others and deleted ones can't be sold.
telegram-sell-where = This has to be a channel where you and I are both admins who may post. Add me there under Administrators, then try again.
telegram-sell-later = Telegram asks to wait. Nothing was posted; please try again in a minute.
telegram-sell-perhaps = I was interrupted while posting: it may be in your channel already. Look there first; if it isn't, send the command once more.
telegram-sell-done = Done: it is in { $channel } for { $stars } Stars.
