"""The options of the prompt language: their names, what each takes, and how a value is written back.

Pure tables and readers of one word; where options stand in a text is `bot.commands.prompt`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches

Value = str | int | float | tuple[int, int] | tuple[str, float]
Reader = Callable[[str], Value]

SEED_MAX = 2**32 - 1
SIDE_MIN, SIDE_MAX = 64, 4096
KINDS = ("article", "post", "story", "ad", "lesson", "free")
LENGTHS = ("short", "medium", "long")
WORDS_MIN, WORDS_MAX = 10, 5000


class BadValue(ValueError):
    """`code` says what kind of value was wanted; `values` fill the sentence, `near` is what was probably meant."""

    def __init__(self, code: str, near: str = "", **values: str) -> None:
        super().__init__(code)
        self.code, self.near, self.values = code, near, values


@dataclass(frozen=True, kw_only=True)
class Option:
    """`field` is the field of Prompt that it fills; `digits` says that its value begins with a digit."""

    name: str
    field: str
    read: Reader
    digits: bool = False


def fold(text: str) -> str:
    """Option syntax as ASCII where it has full-width forms, in small letters. Never for the prompt's own text."""
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2236", ":").replace("\u2212", "-")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise BadValue("prompt-not-whole", low=str(low), high=str(high))
        if not low <= int(text) <= high:
            raise BadValue("prompt-out-of-bounds", low=str(low), high=str(high))
        return int(text)

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"-?[0-9]{0,6}(?:\.[0-9]{1,6}|[0-9])", text):
            raise BadValue("prompt-not-number", low=f"{low:g}", high=f"{high:g}")
        if not low <= float(text) <= high:
            raise BadValue("prompt-out-of-bounds", low=f"{low:g}", high=f"{high:g}")
        return float(text)

    return read


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})[x×✕*]([0-9]{1,6})", text)
    if not found:
        raise BadValue("prompt-not-size")
    width, height = int(found[1]), int(found[2])
    if not all(SIDE_MIN <= side <= SIDE_MAX for side in (width, height)):
        raise BadValue("prompt-size-bounds", low=str(SIDE_MIN), high=str(SIDE_MAX))
    return width, height


def _aspect(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})[:/x×]([0-9]{1,5})", text)
    if not found:
        raise BadValue("prompt-not-aspect")
    wide, high = int(found[1]), int(found[2])
    if not (wide and high and wide <= 4 * high and high <= 4 * wide):
        raise BadValue("prompt-aspect-bounds")
    return wide, high


def _name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]{0,39}", text):
        raise BadValue("prompt-not-name")
    return text


def _words(text: str) -> str:
    if not text.strip() or len(text) > 60 or any(char in '"\n' or not char.isprintable() for char in text):
        raise BadValue("prompt-not-words")
    return text.strip()


def _choice(*known: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in known:
            near = next(iter(get_close_matches(text, known, n=1)), "")
            raise BadValue("prompt-not-choice", near, choices=", ".join(known))
        return text

    return read


def _length(text: str) -> str | int:
    if text[:1].isdigit():
        return _whole(WORDS_MIN, WORDS_MAX)(text)
    return _choice(*LENGTHS)(text)


def _lora(text: str) -> tuple[str, float]:
    name, _, weight = text.partition(":")
    return _name(name), _number(-2, 2)(weight or "1")


def _flag(text: str) -> str:
    if text not in {"", "yes", "true", "on", "1", "no", "false", "off", "0"}:
        raise BadValue("prompt-not-choice", choices="yes, no")
    return "" if text in {"no", "false", "off", "0"} else "yes"


OPTIONS = (
    Option(name="ar", field="aspect", read=_aspect, digits=True),
    Option(name="size", field="size", read=_size, digits=True),
    Option(name="steps", field="steps", read=_whole(1, 150), digits=True),
    Option(name="cfg", field="guidance", read=_number(0, 30), digits=True),
    Option(name="seed", field="seed", read=_whole(0, SEED_MAX), digits=True),
    Option(name="style", field="style", read=_name),
    Option(name="model", field="model", read=_name),
    Option(name="count", field="count", read=_whole(1, 10), digits=True),
    Option(name="strength", field="strength", read=_number(0.01, 1), digits=True),
    Option(name="scheduler", field="scheduler", read=_name),
    Option(name="lora", field="loras", read=_lora),
    Option(name="kind", field="kind", read=_choice(*KINDS)),
    Option(name="length", field="length", read=_length),
    Option(name="tone", field="tone", read=_words),
    Option(name="temperature", field="temperature", read=_number(0, 2), digits=True),
    Option(name="private", field="private", read=_flag),
    Option(name="no", field="negative", read=str),
)
"""All options, in the order in which `format` writes them: `no` last, because it takes all that follows."""

_ALIASES = {
    "aspect": "ar",
    "cfg-scale": "cfg",
    "guidance": "cfg",
    "negative": "no",
    "n": "count",
    "temp": "temperature",
}
NAMED = {option.name: option for option in OPTIONS} | {
    alias: option for alias, name in _ALIASES.items() for option in OPTIONS if option.name == name
}


def nearest(name: str) -> Option | None:
    """The option that a misspelt name probably means."""
    found = get_close_matches(name, [known for known in NAMED if len(known) > 1], n=1, cutoff=0.6)
    return NAMED[found[0]] if found else None


def is_slip(name: str, *, digits: bool) -> bool:
    """Whether a word behind a long dash is an option misspelt, rather than prose.

    Prose often has a word right behind a dash, so a slip must be plain: letters swapped or doubled (`modle`), or
    near to an option of digits with digits behind it (`seeed 4`).
    """
    near = nearest(name)
    if near is None or len(name) < 4:
        return False
    close = SequenceMatcher(None, name, near.name).ratio() >= 0.75
    return name[0] == near.name[0] and (set(name) == set(near.name) or (digits and near.digits and close))


def written(value: Value) -> str:
    """A value as `parse` reads it back."""
    match value:
        case tuple((int(wide), int(high))):
            return f"{wide}x{high}"
        case tuple((str(name), float(weight))):
            return f"{name}:{written(weight)}"
        case float():
            return f"{value:.6f}".rstrip("0").rstrip(".")
        case str() if re.fullmatch(r"\w[\w.+-]*", value):
            return value
        case str():
            return f'"{value}"'
        case _:
            return str(value)
