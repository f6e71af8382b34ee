"""A conversation as the token ids that a language model continues, cut to what its context holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from generators.requests import Message, WriteText

_ROOM_MIN = 16  # tokens for an answer, below which it is not worth beginning


class PromptTooLong(Exception):
    """Even the last message alone leaves no room for an answer. The text says how long it may be."""


class Prompt(NamedTuple):
    ids: list[int]
    unread: str  # of the messages that were left out


def encode(tokenizer: Any, request: WriteText, context: int) -> Prompt:
    """The oldest messages are left out as needed, never the system's or the last one. Raises `PromptTooLong`."""
    messages, left_out = list(request.messages), list[str]()
    room = context - min(request.max_tokens, max(_ROOM_MIN, context // 4))
    ids = _ids(tokenizer, messages)
    while len(ids) > room and (oldest := _oldest(messages)) is not None:
        left_out.append(messages.pop(oldest).content)
        ids = _ids(tokenizer, messages)
    if len(ids) + min(_ROOM_MIN, request.max_tokens) > context:
        raise PromptTooLong(
            f"The prompt is {len(ids)} tokens long; the model takes {context} with its answer."
        )
    return Prompt(ids, " … ".join(left_out))


def _oldest(messages: Sequence[Message]) -> int | None:
    """Which message to leave out next."""
    spare = [at for at, message in enumerate(messages[:-1]) if message.role != "system"]
    return spare[0] if spare else None


def _ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    if not tokenizer.chat_template:  # a base model: it continues the words
        return list(tokenizer("\n".join(message.content for message in messages))["input_ids"])
    turns = [{"role": message.role, "content": message.content} for message in messages]
    found = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)["input_ids"]
    return list(found)
