"""What a job shows at a moment: a `Card` in the person's language, from values alone.

The one place where job states become sentences; board, deliverer and gallery all draw with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from math import ceil

import msgspec

from bot.buttons import Buttons
from bot.chat import Action, Button, Card, CardState, Locale, Picture
from bot.config import Config
from bot.jobs.abilities import Abilities
from bot.jobs.forecast import Place
from bot.jobs.progress import Live
from bot.replies import say
from generators import requests
from generators.requests import ImageToImage, Request, WriteText
from storage.artifacts import Artifact
from storage.jobs import Job

PROMPT_CHARS = 200
ALT_CHARS = 300
UNREAD_CHARS = 80
STATES: dict[str, CardState] = {
    "available": "waiting", "retryable": "waiting", "running": "running", "completed": "done",
    "discarded": "failed", "cancelled": "cancelled",
}  # fmt: skip
DONE: dict[str, tuple[Action, ...]] = {
    "image": (
        Action.AGAIN, Action.EDIT, Action.VARY, Action.UPSCALE, Action.DETAILS, Action.ORIGINAL, Action.DELETE,
    ),
    "text": (Action.AGAIN, Action.EDIT, Action.DETAILS, Action.ORIGINAL, Action.DELETE),
}  # fmt: skip
FROM_PICTURE = frozenset({Action.EDIT, Action.VARY, Action.UPSCALE})  # of a picture: start from it
OVER = (Action.AGAIN, Action.EDIT, Action.DELETE)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """All that a card is drawn from, beside the job itself."""

    live: Live | None = None
    place: Place | None = None
    artifacts: Sequence[Artifact] = ()
    text: str = ""
    note: str = ""


class Cards:
    def __init__(self, config: Config, buttons: Buttons, abilities: Abilities) -> None:
        self._config, self._buttons, self._abilities = config, buttons, abilities

    def draw(self, job: Job, locale: Locale, moment: Moment) -> Card:
        request = requests.decode(job.request)
        state: CardState = "deleted" if job.deleted_at else STATES[job.state]
        live = moment.live if state == "running" else None
        text = moment.text or (live.text if live else "")
        return Card(
            job=job.id,
            kind="text" if job.kind == "text" else "image",
            state=state,
            prompt=shortened(job.words, PROMPT_CHARS),
            status=" · ".join(
                filter(
                    None, (self._status(job, locale, state, moment), _payer(job, locale, state), moment.note)
                )
            ),
            note=_unread(job, locale),
            fraction=_fraction(request, live) if live else 0.0,
            preview=live.preview if live else b"",
            text=text,
            label=self.label(job.model, locale) if text or moment.artifacts else "",
            pictures=tuple(self._picture(job, each, locale) for each in moment.artifacts if each.width),
            buttons=self._row(job, locale, state, bool(moment.artifacts)),
            private=job.private,
            reply_to=job.origin,
            created_at=job.created_at.astimezone(UTC).isoformat(timespec="seconds"),
        )

    def label(self, model: str, locale: Locale) -> str:
        """Says that an output is AI-made, and by what."""
        return say(locale, "label-ai", model=self.title(model))

    def title(self, model: str) -> str:
        """A model that the configuration no longer has keeps its name."""
        entry = self._config.models.get(model)
        return (entry.title if entry else "") or model

    def _status(self, job: Job, locale: Locale, state: CardState, moment: Moment) -> str:
        match state:
            case "waiting":
                return waiting_line(locale, job, moment.place)
            case "running":
                return running_line(locale, job, moment.live)
            case "done" if not moment.artifacts:
                return say(locale, "status-gone")
            case "done":
                return say(locale, "status-done", paid=job.paid)
            case "failed":
                return failure_line(locale, job.error, kind=job.kind)
            case "cancelled":
                return say(locale, "status-cancelled", paid=job.paid)
            case "deleted":
                return say(locale, "status-deleted")

    def _picture(self, job: Job, artifact: Artifact, locale: Locale) -> Picture:
        entry = self._config.models.get(job.model)
        return Picture(
            artifact=artifact.id,
            width=artifact.width,
            height=artifact.height,
            alt=say(locale, "alt-picture", prompt=shortened(job.words, ALT_CHARS)),
            scale=entry.scale if entry else 1,
        )

    def _row(self, job: Job, locale: Locale, state: CardState, has_output: bool) -> tuple[Button, ...]:
        match state:
            case "waiting" | "running":
                actions: tuple[Action, ...] = () if job.cancel_requested else (Action.CANCEL,)
            case "done" if has_output:
                actions = self._of_output(job)
            case "done" | "failed" | "cancelled":
                actions = OVER
            case "deleted":
                actions = ()
        return tuple(self._buttons.make(action, job, locale) for action in actions)

    def _of_output(self, job: Job) -> tuple[Action, ...]:
        """What may be done with what was made."""
        actions = DONE["text" if job.kind == "text" else "image"]
        if job.kind == "text" or not self._abilities.lacks(job.model, ImageToImage):
            return actions
        return tuple(action for action in actions if action not in FROM_PICTURE)


def _payer(job: Job, locale: Locale, state: CardState) -> str:
    """Says that the credits are a group's, where the status speaks of credits."""
    charged = job.state == "available" or (state in ("done", "cancelled") and job.paid > 0)
    return say(locale, "status-group") if job.payer is not None and charged else ""


def _unread(job: Job, locale: Locale) -> str:
    """Says what of a prompt the model had no room for."""
    return say(locale, "status-unread", words=shortened(job.unread, UNREAD_CHARS)) if job.unread else ""


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def waiting_line(locale: Locale, job: Job, place: Place | None) -> str:
    if job.state == "retryable":
        return say(locale, "status-retry")
    if place is None:
        return say(locale, "status-waiting", price=job.price)
    return say(
        locale, "status-place", place=place.ahead + 1, seconds=max(1, ceil(place.seconds)), price=job.price
    )


def running_line(locale: Locale, job: Job, live: Live | None) -> str:
    if job.cancel_requested:
        return say(locale, "status-cancelling")
    if live is None or not (live.steps or live.text):
        return say(locale, "status-starting")
    if job.kind == "text":
        return say(locale, "status-writing")
    return say(locale, "status-step", step=live.step, steps=live.steps)


def failure_line(locale: Locale, error: str | None, *, kind: str) -> str:
    """What went wrong in words that help; a code that has none gets the general ones."""
    known = {
        "bad_input",
        "prompt_too_long",
        "lora_unavailable",
        "queue_timeout",
        "timeout",
        "crowded",
        "out_of_memory",
        "model_unavailable",
        "storage",
        "bad_output",
    }
    name = (error or "").replace("_", "-") if error in known else "other"
    return say(locale, f"failed-{name}", kind=kind)


def _fraction(request: Request, live: Live) -> float:
    if isinstance(request, WriteText):
        return min(len(live.text) / (request.max_tokens * 4), 0.99)  # about four characters a token
    return live.step / live.steps if live.steps else 0.0
