"""The prompt language of all platforms: free text with options anywhere, as Midjourney's users know it.

    a red apple --ar 16:9 --no blurry, text        一只猫，——ar 16：9        —seed 42 a dog –n 2

    text -> clean -> uses of options -> fields and the words between -> Prompt, or the first PromptError

Which dash begins an option is `scanning`; what an option takes, `options`.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import msgspec

from bot.commands.options import OPTIONS, Option, Value, written
from bot.commands.refused import PromptError
from bot.commands.scanning import Use
from bot.commands.scanning import uses as scan

CHARS_MAX = 8000

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff]")
_COMMAS = ",，、"
_PUNCTUATION = ",，。；、;!！?？"


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for; None and "" where they left the choice to us."""

    text: str
    negative: str = ""
    aspect: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    style: str = ""
    model: str = ""
    count: int | None = None
    private: bool = False
    strength: float | None = None
    scheduler: str = ""
    loras: tuple[tuple[str, float], ...] = ()
    kind: str = ""
    length: str | int | None = None  # short, medium, long, or a number of words
    tone: str = ""
    temperature: float | None = None


def parse(text: str) -> Prompt:
    """Raises PromptError for what cannot be understood, and nothing else, whatever the text."""
    try:
        return _parse(clean(text))
    except PromptError as error:
        raise _in_original(error, text) from None


def format(prompt: Prompt) -> str:
    """The text that `parse` reads as this prompt: what Edit opens with."""
    return " ".join([prompt.text, *(f"--{part}" for option in OPTIONS for part in _written(prompt, option))])


def clean(text: str) -> str:
    """NFC, without control characters (but newline and tab), lone surrogates and bidi overrides, outer space cut."""
    return _washed(text).strip()


def _washed(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", _CONTROLS.sub("", lines))


def _parse(text: str) -> Prompt:
    if len(text) > CHARS_MAX:
        raise PromptError("prompt-too-long", count=str(len(text)), limit=str(CHARS_MAX))
    uses = list(scan(text))
    words = _joined(text, uses)
    if not any(_is_visible(char) for char in words):
        raise PromptError("prompt-only-options" if uses else "prompt-empty")
    return Prompt(text=words, **_fields(text, uses))


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in {"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"}


def _fields(text: str, uses: list[Use]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for option in OPTIONS:
        mine = [use for use in uses if use.option is option]
        if mine:
            fields[option.field] = _value(text, option, mine)
    if "size" in fields and "aspect" in fields:
        second = max(
            (use for use in uses if use.option.field in {"size", "aspect"}), key=lambda use: use.start
        )
        raise _conflict(text, second, "--ar", "--size")
    return fields


def _value(text: str, option: Option, uses: list[Use]) -> Any:
    match option.field:
        case "negative":
            return _merged([str(use.value) for use in uses])
        case "loras":
            return tuple(use.value for use in _distinct(text, uses, by_name=True))
        case "private":
            return bool(_distinct(text, uses)[0].value)
        case _:
            return _distinct(text, uses)[0].value


def _distinct(text: str, uses: list[Use], *, by_name: bool = False) -> list[Use]:
    """The uses without repetitions. Raises PromptError where one says another value than before."""
    first: dict[Value, Use] = {}
    for use in uses:
        key = use.value[0] if by_name and isinstance(use.value, tuple) else ""
        before = first.setdefault(key, use)
        if before.value != use.value:
            raise _conflict(text, use, _as_written(text, before), _as_written(text, use))
    return list(first.values())


def _as_written(text: str, use: Use) -> str:
    return f"--{use.option.name} {written(use.value)}"


def _conflict(text: str, use: Use, first: str, second: str) -> PromptError:
    return PromptError(
        "prompt-conflict", original=text, start=use.start, end=use.end, first=first, second=second
    )


def _merged(parts: list[str]) -> str:
    merged = parts[0]
    for part in parts[1:]:
        merged += (" " if merged[-1] in _PUNCTUATION else ", ") + part
    return merged


def _joined(text: str, uses: list[Use]) -> str:
    """The text without its options; where one stood between words there is the space that was around it."""
    edges = [0, *(edge for use in uses for edge in (use.start, use.end)), len(text)]
    joined = ""
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        piece = text[start:end]
        joined = _join(joined, piece) if joined.strip() else piece
    return joined.strip()


def _join(before: str, after: str) -> str:
    left, right = before.rstrip(), after.lstrip()
    if not right:
        return before if before != left else before + after
    if right[0] in _PUNCTUATION:
        return left + (right[1:] if left[-1] in _COMMAS and right[0] in _COMMAS else right)
    spaces = (before[len(left) :], after[: len(after) - len(right)])
    broken = max(spaces, key=lambda space: space.count("\n"))
    return left + (broken if "\n" in broken else " ") + right


def _in_original(error: PromptError, original: str) -> PromptError:
    """The error with its place in the text as it was before cleaning."""
    washed = _washed(original)
    cut = len(washed) - len(washed.lstrip())
    if error.start != error.end:
        error.start = _origin(original, error.start + cut)
        error.end = _origin(original, error.end + cut)
    error.original = original
    return error


def _origin(original: str, index: int) -> int:
    """The least place in `original` before which cleaning leaves `index` characters."""
    return bisect_left(range(len(original) + 1), index, key=lambda end: len(_washed(original[:end])))


def _written(prompt: Prompt, option: Option) -> Iterator[str]:
    value = getattr(prompt, option.field)
    match option.field:
        case "loras":
            yield from (f"lora {written(use)}" for use in value)
        case "private" if value:
            yield "private"
        case "negative" if value:
            yield f"no {value}" if value[0] not in "=＝" else f"no={value}"
        case "aspect" if value:
            yield f"ar {value[0]}:{value[1]}"
        case "private" | "negative" | "aspect":
            return
        case _ if value is not None and value != "":
            yield f"{option.name} {written(value)}"
        case _:
            return
