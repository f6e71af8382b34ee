"""Cards and words as Components V2 messages. Pure: values in, a message's body and its files out.

A message is of version 2 from its first moment, since it cannot become one of version 1 again. Discord's limits:
40 components, 4000 characters of text in all of them, 5 buttons a row, 10 files, alt text of 1024.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.chat import Action, Button, Card, Locale
from bot.platforms.discord.rest import Upload
from bot.platforms.discord.wire import COMPONENTS_V2, EPHEMERAL
from bot.replies import say

Component = dict[str, Any]
ACTION_ROW, BUTTON, TEXT_INPUT, TEXT, GALLERY, FILE, CONTAINER, LABEL = 1, 2, 4, 10, 12, 13, 17, 18
GREY, RED, LINK, PREMIUM = 2, 4, 5, 6
TEXT_MAX = 4000
STORY_MAX = 3200  # what is left for a text beside its prompt, status and label
EXCERPT = 1500
ROW_MAX, LABEL_MAX, ALT_MAX, INPUT_MAX, TITLE_MAX = 5, 80, 1024, 4000, 45
CARDS_MAX = 5  # in one message
BAR = 12
COLOURS = {"done": 0x3BA55D, "failed": 0xED4245, "cancelled": 0x99AAB5}
_MARKUP = re.compile(r"([\\*_~`|>#\[\]()<@:\-])")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A message: what it shows and the files that come with it."""

    components: list[Component]
    files: tuple[Upload, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What goes with a card and is not in it."""

    pictures: Sequence[Upload | None] = ()  # of card.pictures, in order; None for one that is gone
    spoiler: bool = False
    shrunk: int = 0
    notes: Sequence[str] = ()
    locale: Locale = "en"
    left: str = field(default="")


def body(drawn: Drawn, *, private: bool = False, mention: str = "") -> dict[str, Any]:
    """What is posted: mentions nobody, or only this person."""
    return {
        "components": drawn.components,
        "flags": COMPONENTS_V2 | (EPHEMERAL if private else 0),
        "allowed_mentions": {"parse": [], **({"users": [mention]} if mention else {})},
        "attachments": [
            {"id": number, "filename": file.name, "description": file.description or None}
            for number, file in enumerate(drawn.files)
        ],
    }


def card(shown: Card, extras: Extras) -> Drawn:
    """A job as it is now."""
    files: list[Upload] = []
    parts: list[Component] = [text(line) for line in _head(shown, extras)]
    parts += _story(shown, extras, files)
    parts += _gallery(shown, extras, files)
    if shown.label:
        parts.append(text(f"-# {shown.label}"))
    parts += rows(shown.buttons)
    container: Component = {"type": CONTAINER, "components": parts}
    if shown.state in COLOURS:
        container["accent_color"] = COLOURS[shown.state]
    return Drawn(components=[*(text(note) for note in extras.notes if note), container], files=tuple(files))


def cards(words: str, shown: Sequence[Card]) -> Drawn:
    """Several jobs in short, each with its buttons."""
    blocks = [
        {
            "type": CONTAINER,
            "components": [text(f"> {quoted(each.prompt)}\n{_status(each)}"), *rows(each.buttons)],
        }
        for each in shown[:CARDS_MAX]
    ]
    return Drawn(components=[*([text(words)] if words else []), *blocks])


def words(said: str, buttons: Sequence[Button] = ()) -> list[Drawn]:
    """A reply of words, in as many messages as they need; the buttons are under the last."""
    drawn = [Drawn(components=[text(part)]) for part in chunks(said, TEXT_MAX)]
    drawn[-1].components.extend(rows(buttons))
    return drawn


def documents(files: Sequence[Upload], notes: Sequence[str] = ()) -> Drawn:
    """Files, untouched."""
    shown: list[Component] = [{"type": FILE, "file": {"url": f"attachment://{file.name}"}} for file in files]
    return Drawn(components=[*(text(note) for note in notes), *shown], files=tuple(files))


def modal(custom_id: str, *, title: str, draft: str, locale: Locale) -> dict[str, Any]:
    """A large field for a prompt."""
    entry: Component = {
        "type": TEXT_INPUT, "custom_id": "prompt", "style": 2, "required": True, "max_length": INPUT_MAX,
        "placeholder": say(locale, "discord-modal-example"),
    }  # fmt: skip
    if draft:
        entry["value"] = draft[:INPUT_MAX]
    label = say(locale, "discord-modal-prompt")
    return {
        "custom_id": custom_id[:100],
        "title": title[:TITLE_MAX],
        "components": [{"type": LABEL, "label": label, "component": entry}],
    }


def text(said: str) -> Component:
    return {"type": TEXT, "content": said[:TEXT_MAX] if said.strip() else "…"}


def rows(buttons: Sequence[Button]) -> list[Component]:
    drawn = [_button(each) for each in buttons]
    return [
        {"type": ACTION_ROW, "components": drawn[start : start + ROW_MAX]}
        for start in range(0, len(drawn), ROW_MAX)
    ]


def _button(button: Button) -> Component:
    """Discord labels and prices a premium button itself."""
    if button.sku:
        return {"type": BUTTON, "style": PREMIUM, "sku_id": button.sku}
    label = button.label[:LABEL_MAX] or "…"
    if button.url:
        return {"type": BUTTON, "style": LINK, "label": label, "url": button.url}
    style = RED if button.action in {Action.DELETE, Action.CANCEL} else GREY
    return {"type": BUTTON, "style": style, "label": label, "custom_id": button.id}


def rested(shown: Sequence[Component], asleep: Collection[str] | None = None) -> list[Component]:
    """A message's components as they can be sent again; the buttons `asleep`, and no others, can't be pressed.

    Discord gives files as the addresses that they have for now, and takes them by their names.
    """
    return [_rested(each, asleep) for each in shown]


def _rested(shown: Component, asleep: Collection[str] | None) -> Component:
    sent = dict(shown)
    if sent.get("type") == BUTTON and asleep is not None and "custom_id" in sent:
        sent["disabled"] = sent["custom_id"] in asleep
    elif sent.get("type") == FILE:
        sent["file"] = _by_name(sent["file"])
    elif sent.get("type") == GALLERY:
        sent["items"] = [item | {"media": _by_name(item["media"])} for item in sent["items"]]
    elif inner := sent.get("components"):
        sent["components"] = rested(inner, asleep)
    return sent


def _by_name(media: Component) -> Component:
    return {"url": f"attachment://{media['url'].partition('?')[0].rpartition('/')[2]}"}


def quoted(prompt: str) -> str:
    """Words of a person, on one line and without effect as markup."""
    return _MARKUP.sub(r"\\\1", " ".join(prompt.split()))


def chunks(said: str, limit: int) -> list[str]:
    """Parts of at most `limit` characters, cut between lines where that goes."""
    parts: list[str] = []
    while len(said) > limit:
        cut = said.rfind("\n", limit // 2, limit)
        cut = cut if cut > 0 else limit
        parts.append(said[:cut])
        said = said[cut:].lstrip("\n")
    return [*parts, said]


def safe_name(name: str) -> str:
    """A file name that `attachment://` can refer to."""
    stem, _, extension = name.rpartition(".")
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "atelier"
    return f"{plain[:80]}.{re.sub(r'[^A-Za-z0-9]', '', extension)[:8] or 'bin'}"


def _head(shown: Card, extras: Extras) -> list[str]:
    lines = [f"> {quoted(shown.prompt)}"] if shown.prompt else []
    status = _status(shown) + (f" · {extras.left}" if extras.left else "")
    if status:
        lines.append(status)
    if shown.note:
        lines.append(f"-# {quoted(shown.note)}")
    if extras.shrunk:
        lines.append("-# " + say(extras.locale, "discord-shrunk", count=extras.shrunk))
    return lines


def _status(shown: Card) -> str:
    if shown.state != "running" or not shown.fraction:
        return shown.status
    full = round(min(max(shown.fraction, 0.0), 1.0) * BAR)
    return f"{shown.status}\n{'▰' * full}{'▱' * (BAR - full)} {shown.fraction:.0%}"


def _story(shown: Card, extras: Extras, files: list[Upload]) -> list[Component]:
    """A text: its newest part while it grows; too long a one as a file under its beginning."""
    if not shown.text:
        return []
    if len(shown.text) <= STORY_MAX:
        return [text(shown.text)]
    if shown.state == "running":
        return [text("… " + shown.text[-STORY_MAX:])]
    name = f"atelier-{shown.job}.md"
    data = f"{shown.text}\n\n{shown.label}\n".encode()
    files.append(Upload(name=name, data=data, media_type="text/markdown"))
    note = say(extras.locale, "discord-text-file")
    excerpt = chunks(shown.text, EXCERPT)[0]
    return [text(f"{excerpt} …\n-# {note}"), {"type": FILE, "file": {"url": f"attachment://{name}"}}]


def _gallery(shown: Card, extras: Extras, files: list[Upload]) -> list[Component]:
    ready = [each for each in extras.pictures if each is not None]
    if shown.state == "running" and shown.preview:
        ready = [Upload(name="preview.jpg", data=shown.preview, media_type="image/jpeg")]
    files += ready
    gone = len(shown.pictures) - len(ready) if extras.pictures else 0
    missing = [text("-# " + say(extras.locale, "discord-file-gone"))] if gone > 0 else []
    if not ready:
        return missing
    items = [_item(file, spoiler=extras.spoiler) for file in ready]
    return [{"type": GALLERY, "items": items}, *missing]


def _item(file: Upload, *, spoiler: bool) -> Component:
    item: Component = {"media": {"url": f"attachment://{file.name}"}}
    if file.description:
        item["description"] = file.description[:ALT_MAX]
    return item | ({"spoiler": True} if spoiler else {})
