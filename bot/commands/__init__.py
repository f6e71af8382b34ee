"""What people can ask for: the prompt language, and one file a command, listed in one registry."""
