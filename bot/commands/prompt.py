"""The prompt language of all platforms: free text with options anywhere, as Midjourney's users know it.

    a red apple --ar 16:9 --no blurry, text        一只猫，——ar 16：9        —seed 42 a dog –n 2

    text -> clean -> heads (where options begin) -> values -> Prompt, or the first PromptError

An option begins a word (or stands behind Chinese): two hyphens and a name, or, because phones and Chinese
keyboards make them of those, a long dash directly before a known name or a plain slip of one. Any other dash is
prose, and so is one right behind a quotation mark or a backtick. A value is one word or is quoted; `--no` takes
all until the next option.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from bot.commands.options import NAMED, OPTIONS, BadValue, Option, Value, fold, is_slip, nearest, written
from bot.commands.refused import PromptError

CHARS_MAX = 8000

_SPACE = r"[\s\u200b]"
_LONG = "\u2010-\u2015\u2212\u2500\u2501\u2e3a\u2e3b\ufe58\ufe63\uff0d"
_DASH = rf"[-{_LONG}]"
_LETTER = "A-Za-z\uff21-\uff3a\uff41-\uff5a"
_HAN = "\u3000-\u303f\u3040-\u30ff\u3400-\u9fff\uff0c\uff1a\uff1b\uff01\uff1f\uff09"
_HEAD = re.compile(
    rf"(?<!{_DASH})(?P<dashes>{_DASH}+)(?P<name>[{_LETTER}](?:[{_LETTER}]|[-_](?=[{_LETTER}]))*)"
    rf"(?P<equals>{_SPACE}*[=＝]|[:：])?{_SPACE}*(?P<digits>(?=[0-9０-９]|{_DASH}+[{_LETTER}]|\Z))?"
)
_WORD_STARTS = re.compile(rf"{_SPACE}|[{_HAN},]")
_NAME_GOES_ON = re.compile(rf"(?![{_HAN}])\w")
_QUOTED = re.compile("|".join(f"{a}(?P<q{n}>[^{a}{b}]*){b}" for n, (a, b) in enumerate(
    ['""', "''", "“”", "‘’", "„“", "«»", "「」", "『』", "＂＂"]
)))  # fmt: skip
_WORD = re.compile(r"(?:[^\s\u200b,，。；、;]|,(?=[0-9]))+")
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


@dataclass(frozen=True, kw_only=True)
class _Use:
    """One option in a text: `start` of its dashes, `end` of its value, and what was written."""

    option: Option
    start: int
    end: int
    value: Value


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
    uses = list(_uses(text))
    words = _joined(text, uses)
    if not any(_is_visible(char) for char in words):
        raise PromptError("prompt-only-options" if uses else "prompt-empty")
    return Prompt(text=words, **_fields(text, uses))


def _is_visible(char: str) -> bool:
    return unicodedata.category(char) not in {"Zs", "Zl", "Zp", "Cc", "Cf", "Mn", "Me"}


def _uses(text: str) -> Iterator[_Use]:
    at, fresh = 0, 0  # `fresh`: right behind an option, where a word begins too
    while found := _HEAD.search(text, at):
        option = _option(text, found, fresh)
        if option is None:
            at = found.end("name")
            continue
        use = _use(text, option, found)
        yield use
        at = fresh = use.end


def _option(text: str, head: re.Match[str], fresh: int) -> Option | None:
    """The option that begins here; None for prose. Raises PromptError for one that does not exist."""
    start, name = head.start(), fold(head["name"]).replace("_", "-")
    space = start in {0, fresh} or re.match(_SPACE, text[start - 1]) is not None
    if not space and not _WORD_STARTS.match(text[start - 1]):
        return None
    if not _is_named(text, head, name):
        return None
    certain = head["dashes"] == "--" and space
    if name in NAMED or not (certain or is_slip(name, digits=head["digits"] is not None)):
        return NAMED.get(name)
    raise _unknown(text, head, name)


def _is_named(text: str, head: re.Match[str], name: str) -> bool:
    """Whether dashes and letters have the form of an option: `-n 2`, `--ar16:9`; not `rock -n roll`, `-word`."""
    if name == "n" and len(head["dashes"]) == 1:
        return head["digits"] is not None and not text[head.end("name") :][:1].isalnum()
    if head["dashes"] == "-":
        return False
    takes_digits = name in NAMED and NAMED[name].digits and head["digits"] is not None
    return takes_digits or not _NAME_GOES_ON.match(text, head.end("name"))


def _unknown(text: str, head: re.Match[str], name: str) -> PromptError:
    near, written_as = nearest(name), text[head.start() : head.end("name")]
    known = " ".join(f"--{option.name}" for option in OPTIONS)
    return PromptError(
        "prompt-unknown-option",
        original=text,
        start=head.start(),
        end=head.end("name"),
        suggestion=f"--{near.name}" if near else "",
        option=written_as,
        known=known,
    )


def _use(text: str, option: Option, head: re.Match[str]) -> _Use:
    begin = head.end()
    match option.field:
        case "negative":
            end = _next_option(text, begin)
            value = text[begin:end].strip()
        case "private" if head["equals"] is None or head["equals"].strip() not in {"=", "＝"}:
            return _Use(option=option, start=head.start(), end=head.end("name"), value="yes")
        case _:
            value, end = _word(text, begin)
    if not value:
        raise PromptError(
            "prompt-no-value",
            original=text,
            start=head.start(),
            end=head.end("name"),
            option=f"--{option.name}",
        )
    return _Use(option=option, start=head.start(), end=end, value=_read(text, option, value, (begin, end)))


def _next_option(text: str, begin: int) -> int:
    """Where the next option begins, known or not."""
    at = begin
    while found := _HEAD.search(text, at):
        if _is_option(text, found, begin):
            return found.start()
        at = found.end("name")
    return len(text)


def _is_option(text: str, head: re.Match[str], fresh: int) -> bool:
    try:
        return _option(text, head, fresh) is not None
    except PromptError:
        return True


def _word(text: str, begin: int) -> tuple[str, int]:
    """The value at `begin`, quotes taken off, and where it ends; "" where an option or nothing follows."""
    if quoted := _QUOTED.match(text, begin):
        return quoted[str(quoted.lastgroup)], quoted.end()
    head = _HEAD.match(text, begin)
    if head and _is_option(text, head, begin):
        return "", begin
    found = _WORD.match(text, begin)
    return (found[0], found.end()) if found else ("", begin)


def _read(text: str, option: Option, value: str, span: tuple[int, int]) -> Value:
    try:
        return option.read(value if option.field in {"negative", "tone"} else fold(value))
    except BadValue as bad:
        raise PromptError(
            bad.code,
            original=text,
            start=span[0],
            end=span[1],
            suggestion=f"--{option.name} {bad.near}" if bad.near else "",
            option=f"--{option.name}",
            value=value[:60],
            **bad.values,
        ) from None


def _fields(text: str, uses: list[_Use]) -> dict[str, Any]:
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


def _value(text: str, option: Option, uses: list[_Use]) -> Any:
    match option.field:
        case "negative":
            return _merged([str(use.value) for use in uses])
        case "loras":
            return tuple(use.value for use in _distinct(text, uses, by_name=True))
        case "private":
            return bool(_distinct(text, uses)[0].value)
        case _:
            return _distinct(text, uses)[0].value


def _distinct(text: str, uses: list[_Use], *, by_name: bool = False) -> list[_Use]:
    """The uses without repetitions. Raises PromptError where one says another value than before."""
    first: dict[Value, _Use] = {}
    for use in uses:
        key = use.value[0] if by_name and isinstance(use.value, tuple) else ""
        before = first.setdefault(key, use)
        if before.value != use.value:
            raise _conflict(text, use, _as_written(text, before), _as_written(text, use))
    return list(first.values())


def _as_written(text: str, use: _Use) -> str:
    return f"--{use.option.name} {written(use.value)}"


def _conflict(text: str, use: _Use, first: str, second: str) -> PromptError:
    return PromptError(
        "prompt-conflict", original=text, start=use.start, end=use.end, first=first, second=second
    )


def _merged(parts: list[str]) -> str:
    merged = parts[0]
    for part in parts[1:]:
        merged += (" " if merged[-1] in _PUNCTUATION else ", ") + part
    return merged


def _joined(text: str, uses: list[_Use]) -> str:
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
