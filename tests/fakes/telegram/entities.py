"""HTML as the Bot API reads it: plain words and entities, or an error for markup that breaks."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

KINDS = {"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "code": "code", "pre": "pre", "u": "underline",
         "s": "strikethrough", "a": "text_link", "tg-spoiler": "spoiler", "blockquote": "blockquote"}  # fmt: skip


class Broken(Exception):
    pass


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.entities: list[dict[str, Any]] = []
        self.open: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in KINDS:
            raise Broken(f'Unsupported start tag "{tag}"')
        entity: dict[str, Any] = {"type": KINDS[tag], "offset": units(self.text)}
        href = dict(attrs).get("href") or ""
        if href.startswith("tg://user?id="):
            entity |= {"type": "text_mention", "user": user(int(href.rpartition("=")[2]))}
        elif tag == "a":
            entity["url"] = href
        self.open.append((tag, entity))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1][0] != tag:
            raise Broken(f'Unmatched end tag "{tag}"')
        _, entity = self.open.pop()
        entity["length"] = units(self.text) - entity["offset"]
        if entity["length"]:
            self.entities.append(entity)

    def handle_data(self, data: str) -> None:
        self.text += data


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def user(number: int) -> dict[str, Any]:
    return {"id": number, "is_bot": False, "first_name": "Somebody"}


def read(text: str, parse_mode: str | None) -> tuple[str, list[dict[str, Any]]]:
    """Raises Broken."""
    if parse_mode is None:
        return text, []
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if reader.open:
        raise Broken(f'Can\'t find end tag corresponding to start tag "{reader.open[-1][0]}"')
    return reader.text.strip(), reader.entities
