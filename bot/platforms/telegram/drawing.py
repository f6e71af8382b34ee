"""What a card looks like in Telegram: words as HTML and the keyboard under them. Values in, values out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from bot.chat import Action, Button, Card
from bot.platforms.telegram import markup
from bot.signing import Signer

ENDED = frozenset({"done", "failed", "cancelled", "deleted"})
PICTURE = "telegram-picture"  # what the numbers under a grid are signed for
ROW = 4
BAR = 10
STREAM_UNITS_MAX = 3500
PROMPT_CHARS = 200
ASLEEP = "⏳ "
EXAMPLE_CHARS = 60
FOOTER_UNITS_MAX = 400


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Signs the numbers under a grid, and knows which job a keyboard belongs to."""

    signer: Signer

    def picture(self, artifact: int) -> str:
        return self.signer.sign(PICTURE, f"pi-{artifact}")

    def read_picture(self, data: str) -> int | None:
        payload = self.signer.verify(PICTURE, data, now=0) if data.startswith("pi-") else None
        return int(payload.removeprefix("pi-")) if payload else None


def status(card: Card) -> str:
    """One message while it waits or runs."""
    lines = [bar(card.fraction)] if card.state == "running" and card.fraction > 0 and not card.text else []
    if card.state == "running" and card.text:
        lines = [markup.rendered(markup.tail(card.text, STREAM_UNITS_MAX)), ""]
    return "\n".join([*lines, markup.rendered(card.status)]).strip() or "…"


def bar(fraction: float) -> str:
    done = min(BAR, round(fraction * BAR))
    return "▰" * done + "▱" * (BAR - done)


def caption(card: Card) -> str:
    """Prompt, label, receipt and note: with a prompt of 200 characters well inside a caption's 1024."""
    prompt = markup.escape(card.prompt[:PROMPT_CHARS])
    return "\n".join(part for part in (f"<b>{prompt}</b>" if prompt else "", footer(card)) if part)


def footer(card: Card) -> str:
    words = " · ".join(part for part in (card.label, card.status, card.note) if part)
    return f"<i>{markup.escape(markup.shortened(words, FOOTER_UNITS_MAX))}</i>"


def keyboard(card: Card, marks: Marks) -> InlineKeyboardMarkup | None:
    """A number for each of several pictures, then the card's buttons."""
    rows: list[list[InlineKeyboardButton]] = []
    if card.kind == "image" and len(card.pictures) > 1:
        numbers = [
            InlineKeyboardButton(str(index), callback_data=marks.picture(picture.artifact))
            for index, picture in enumerate(card.pictures, 1)
        ]
        rows += _in_rows(numbers)
    rows += _in_rows([_key(button) for button in card.buttons])
    return InlineKeyboardMarkup(rows) if rows else None


def rested(keyboard: InlineKeyboardMarkup, asleep: Collection[str]) -> InlineKeyboardMarkup:
    """The same keyboard with a sign on the keys that rest, and on no others."""
    return InlineKeyboardMarkup(
        [
            [_rested(key, asleep=key.callback_data in asleep) for key in row]
            for row in keyboard.inline_keyboard
        ]
    )


def _rested(key: InlineKeyboardButton, *, asleep: bool) -> InlineKeyboardButton:
    if key.url:
        return key
    label = key.text.removeprefix(ASLEEP)
    return InlineKeyboardButton(f"{ASLEEP}{label}" if asleep else label, callback_data=key.callback_data)


def examples(buttons: tuple[Button, ...]) -> InlineKeyboardMarkup | None:
    """One a row: they are whole prompts."""
    return InlineKeyboardMarkup([[_key(each)] for each in buttons]) if buttons else None


def makes(action: Action) -> bool:
    """Whether this button starts a job."""
    return action in (Action.AGAIN, Action.VARY, Action.UPSCALE, Action.ASK)


def rests(action: Action) -> bool:
    """Whether this button rests until its job is over; examples are for everyone, any time."""
    return makes(action) and action is not Action.ASK


def _key(button: Button) -> InlineKeyboardButton:
    label = markup.shortened(button.label, EXAMPLE_CHARS) or "…"
    if button.url:
        return InlineKeyboardButton(label, url=button.url)
    return InlineKeyboardButton(label, callback_data=button.id)


def _in_rows(keys: list[InlineKeyboardButton]) -> list[list[InlineKeyboardButton]]:
    return [keys[start : start + ROW] for start in range(0, len(keys), ROW)]
