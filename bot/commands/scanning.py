"""Finds the options in a text: where each begins, what its value is, and which dashes are only prose.

An option begins a word (or stands behind Chinese): two hyphens and a name, or, because phones and Chinese
keyboards make them of those, a long dash directly before a known name or a plain slip of one. Any other dash is
prose, and so is one right behind a quotation mark or a backtick. A value is one word or is quoted; `--no` takes
all until the next option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.commands.options import NAMED, OPTIONS, BadValue, Option, Value, fold, is_slip, nearest
from bot.commands.refused import PromptError

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


@dataclass(frozen=True, kw_only=True)
class Use:
    """One option in a text: `start` of its dashes, `end` of its value, and what was written."""

    option: Option
    start: int
    end: int
    value: Value


def uses(text: str) -> Iterator[Use]:
    """The options of a text in order. Raises PromptError at the first that is wrong."""
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
        "prompt-misspelt-option" if near else "prompt-unknown-option",
        original=text,
        start=head.start(),
        end=head.end("name"),
        suggestion=f"--{near.name}" if near else "",
        option=written_as,
        known=known,
    )


def _use(text: str, option: Option, head: re.Match[str]) -> Use:
    begin = head.end()
    match option.field:
        case "negative":
            end = _next_option(text, begin)
            value = text[begin:end].strip()
        case "private" if head["equals"] is None or head["equals"].strip() not in {"=", "＝"}:
            return Use(option=option, start=head.start(), end=head.end("name"), value="yes")
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
    return Use(option=option, start=head.start(), end=end, value=_read(text, option, value, (begin, end)))


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
