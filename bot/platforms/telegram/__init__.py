"""Telegram: the Bot API over long polling or a webhook.

client      the platform: starts and stops, show, deliver, webhook
poller      getUpdates under a lease             intake     an update becomes an answer
translate   SDK messages -> vocabulary           albums     several pictures, one message
answers     replies -> messages                  results    final cards -> messages
sheets      which message shows which job        wire       budgets, and what the API's errors mean
drawing, markup, pictures                        what things look like
presses, inline, menus                           buttons, `@bot prompt`, the command menu
stars, paid                                      bills, charges, renewals; media that creators sell
"""
