"""Wire-level fakes of the chat platforms."""
