"""Button ids: what is pressed and on what, signed, within Telegram's 64 bytes, good for `[timeouts] buttons`."""

from __future__ import annotations

import msgspec

from bot.chat import Action, Button, Locale
from bot.replies import say
from bot.signing import Signer
from storage.jobs import Job

PURPOSE = "button"


class Press(msgspec.Struct, frozen=True):
    """A pressed button: `subject` is a job's id, a suggestion's number for ASK, of BUY what `selling.subject` makes."""

    action: Action
    subject: int


class Buttons:
    def __init__(self, signer: Signer, *, lifetime_seconds: int) -> None:
        self._signer, self._lifetime = signer, lifetime_seconds

    def make(self, action: Action, job: Job, locale: Locale) -> Button:
        expires = int(job.created_at.timestamp()) + self._lifetime
        return self._button(action, job.id, expires, say(locale, f"button-{action.name.lower()}"))

    def ask(self, number: int, label: str, *, expires: int) -> Button:
        """Runs the suggestion of this number."""
        return self._button(Action.ASK, number, expires, label)

    def buy(self, subject: int, label: str, *, expires: int, url: str = "", sku: str = "") -> Button:
        """Orders something, or leads to where it is paid."""
        button = self._button(Action.BUY, subject, expires, label)
        return msgspec.structs.replace(button, url=url, sku=sku)

    def read(self, button: str, *, now: int) -> Press | None:
        """What was pressed; None for an id that is forged, another bot's, or too old."""
        payload = self._signer.verify(PURPOSE, button, now=now)
        if payload is None:
            return None
        action, _, subject = payload.partition("-")
        return Press(Action(action), int(subject))

    def _button(self, action: Action, subject: int, expires: int, label: str) -> Button:
        return Button(
            id=self._signer.sign(PURPOSE, f"{action}-{subject}", expires=expires), action=action, label=label
        )
