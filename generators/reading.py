"""What a model of pictures does not read: text encoders take so many tokens, and pipelines silently cut the rest off.

Families differ in how many that are, and in what of a prompt's tokens is taken by words of the pipeline's own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from generators.pipelines import Pipeline, accepted


class Reader(NamedTuple):
    """A text encoder's tokenizer, how many tokens it reads, and what stands before the person's words."""

    tokenizer: Any
    tokens: int
    before: str = ""


def unread(pipeline: Pipeline, *, prompt: str, negative: str) -> str:
    """The ends of both that no text encoder reads, joined by an ellipsis; "" if each is read whole by one."""
    ends = _end(_readers(pipeline, instructed=True), prompt), _end(_readers(pipeline), negative)
    return " … ".join(filter(None, ends))


def _end(readers: list[Reader | None], text: str) -> str:
    if not text:
        return ""
    read = max(
        (len(text) if reader is None else _read(reader, text) for reader in readers), default=len(text)
    )
    return text[read:].strip()


def _read(reader: Reader, text: str) -> int:
    """How many characters."""
    found = reader.tokenizer(
        reader.before + text, truncation=True, max_length=reader.tokens, return_offsets_mapping=True
    )
    start = len(reader.before)
    return max([start, *(end for _, end in found["offset_mapping"])]) - start


def _readers(pipeline: Pipeline, *, instructed: bool = False) -> list[Reader | None]:
    """None for one of which it is not known where it stops."""
    encoders = {suffix: getattr(pipeline, f"text_encoder{suffix}", None) for suffix in ("", "_2", "_3")}
    return [
        _reader(pipeline, getattr(pipeline, f"tokenizer{suffix}"), encoder, instructed=instructed)
        for suffix, encoder in encoders.items()
        if encoder is not None
    ]


def _reader(pipeline: Pipeline, tokenizer: Any, encoder: Any, *, instructed: bool) -> Reader | None:
    takes = accepted(pipeline)
    instruction = "\n".join(takes.get("complex_human_instruction") or ()) if instructed else ""
    template: str = getattr(pipeline, "prompt_template_encode", "")
    tokens: int | None = takes.get("max_sequence_length")
    if not tokenizer.is_fast:
        return None
    if type(encoder).__name__.startswith("CLIP"):
        return Reader(tokenizer, min(tokenizer.model_max_length, encoder.config.max_position_embeddings))
    if tokens is None:
        return None
    if instruction:  # Sana: the prompt gets as many tokens as it would have without
        return Reader(tokenizer, len(tokenizer.encode(instruction)) + tokens - 2, instruction)
    if template:  # Qwen-Image: the template's own are left out afterwards
        return Reader(
            tokenizer, pipeline.prompt_template_encode_start_idx + tokens, template.partition("{")[0]
        )
    return Reader(tokenizer, tokens)
