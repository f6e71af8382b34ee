"""Words as Telegram reads them: HTML from the small Markdown, lengths in UTF-16 units, long texts in parts.

Everything that people or models wrote is escaped. https://core.telegram.org/bots/api#html-style
"""

from __future__ import annotations

import html
import re

TEXT_UNITS_MAX = 4096  # of one message, after its markup is read
ALERT_UNITS_MAX = 200

_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_CODE = re.compile(r"`([^`\n]+)`")
_ITEM = re.compile(r"^- ", re.MULTILINE)
_TAG = re.compile(r"</?[a-z][^<>]*>")
_BORDERS = ("\n\n", "\n", ". ", "。", " ")


def escape(text: str) -> str:
    return html.escape(text, quote=False)


def rendered(text: str) -> str:
    """HTML of **bold**, `code` and - lists; anything else stays as it was written."""
    made = _ITEM.sub("• ", escape(text))
    pieces = _CODE.split(made)  # every second one was between backticks: nothing is bold inside
    return "".join(
        f"<code>{piece}</code>" if index % 2 else _BOLD.sub(r"<b>\1</b>", piece)
        for index, piece in enumerate(pieces)
    )


def plain(markup: str) -> str:
    """The same words without markup, for what the API could not read and for alerts."""
    return html.unescape(_TAG.sub("", markup))


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def whole(text: str) -> str:
    """Without lone surrogates and NULs, which no encoding takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def shortened(text: str, limit: int) -> str:
    """At most `limit` units, with an ellipsis where something is missing."""
    return text if units(text) <= limit else _head(text, limit - 1).rstrip() + "…"


def tail(text: str, limit: int) -> str:
    """The last `limit` units: what is being written now."""
    if units(text) <= limit:
        return text
    return "…" + text.encode("utf-16-le")[-2 * (limit - 1) :].decode("utf-16-le", "ignore")


def parts(text: str, limit: int) -> list[str]:
    """Pieces of at most `limit` units, cut between paragraphs, else lines, sentences, words."""
    found: list[str] = []
    while units(text) > limit:
        head = _head(text, limit)
        cut = _border(head)
        found.append(head[:cut].rstrip())
        text = text[cut:].lstrip("\n ")
    return [*found, text] if text or not found else found


def _head(text: str, limit: int) -> str:
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", "ignore")


def _border(head: str) -> int:
    """Where to cut; not in the first half, where a part would be too short to be worth a message."""
    for border in _BORDERS:
        at = head.rfind(border)
        if at > len(head) // 2:
            return at + len(border)
    return len(head)
