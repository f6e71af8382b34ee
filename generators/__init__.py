"""Everything that runs on devices: what is asked, the pool that spreads it, the engines that do it.

Knows nothing of chat, money or SQL. The way down: `pool` (asyncio, in the bot's process) speaks the typed
`messages` over a socket to one `worker` process a device, which keeps models resident and runs `engines`.
"""
