# What a person is told when the word policy refuses a prompt. Never quotes the rule or the words.
safety-minors = I can't make this: sexual content involving minors is never allowed here. Ask for something else; nothing was charged.
safety-adult = Adult content is off on this bot. Describe it without nudity or sex and try again; nothing was charged.
safety-blocked = The operator of this bot doesn't allow part of this prompt. Say it another way, or ask them; nothing was charged.
