"""The operator's commands: each a thin function over a use case, registered in `bot.__main__`."""
