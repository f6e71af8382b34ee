"""Chat networks, each at its edge: a client (the socket) and a translation to the vocabulary of `bot.chat`."""
