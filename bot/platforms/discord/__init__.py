"""Discord: gateway and REST through discord.py, events in and Components V2 messages out."""
