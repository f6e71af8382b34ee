"""The vocabulary that platforms and commands share.

A platform turns its own events into an `Invocation`, gives it to `Chat.run` and shows the `Reply`. Whatever a
job has to show at any moment is a `Card`, already in the person's language: platforms draw cards, they never
compose sentences. Knows no SDK, no SQL and no model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

import msgspec

Locale = Literal["en", "zh"]
LOCALES: tuple[Locale, ...] = ("en", "zh")


def locale_of(tag: str) -> Locale:
    """The language we speak that is nearest to a BCP 47 tag such as `zh-Hans-CN`; English otherwise."""
    return "zh" if tag.lower().replace("_", "-").split("-")[0] == "zh" else "en"


class Audience(StrEnum):
    """Who may see the answer."""

    EVERYONE = "everyone"
    PRIVATE = "private"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer goes. Kept in the job's row; `route` is the platform's own (message id, topic, token)."""

    platform: str
    place: str = ""
    kind: Literal["private", "group"] = "private"
    audience: Audience = Audience.EVERYONE
    locale: Locale = "en"
    person: str = ""  # who asked, as the platform names them
    route: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who asks. `network` is set where the platform's identities are free to make (web: the client's network)."""

    platform: str
    id: str
    name: str = ""
    locale: Locale = "en"
    network: str = ""


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file that came with an event; `read` fetches at most `size_bytes` and may raise `AttachmentGone`."""

    name: str
    size_bytes: int
    read: Callable[[], Awaitable[bytes]]


class AttachmentGone(Exception):
    """The platform no longer has the file."""


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """One event from a person. `event` is unique in its platform: a redelivered event carries the same one."""

    event: str
    command: str  # a name of the command registry, or "press" with `button`
    text: str = ""
    person: Person
    address: Address
    attachments: tuple[Attachment, ...] = ()
    origin: int | None = None  # the job that this replies to
    may_moderate: bool = False  # whether the person may manage messages there
    group: str = ""  # what people call the group, where the platform says it
    button: str = ""  # the signed id of a pressed button


class Action(StrEnum):
    """What a button does. The values travel inside signed button ids: keep them short and never reuse one."""

    AGAIN = "ag"
    EDIT = "ed"
    VARY = "va"
    UPSCALE = "up"
    DETAILS = "de"
    ORIGINAL = "or"
    DELETE = "dl"
    CANCEL = "ca"
    ASK = "as"  # runs a suggested prompt
    BUY = "by"  # leads to a way to pay


class Button(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is signed and at most 64 bytes (Telegram's limit for callback data).

    A button may lead elsewhere instead: to a web page (`url`), or to a purchase in Discord's shop (`sku`).
    """

    id: str
    action: Action
    label: str
    url: str = ""
    sku: str = ""


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A bill that the platform itself shows and collects. `payload` is our order's token."""

    title: str
    description: str
    payload: str
    amount: int
    currency: str
    subscription_seconds: int = 0  # 0: paid once


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A finished picture. `artifact` opens its bytes; `scale` is how much a page should enlarge it."""

    artifact: int
    width: int
    height: int
    alt: str
    scale: int = 1


CardState = Literal["waiting", "running", "done", "failed", "cancelled", "deleted"]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """All that a job shows now, in the person's language. Platforms draw it and redraw it as it changes."""

    job: int
    kind: Literal["image", "text"]
    state: CardState
    prompt: str  # at most 200 characters; the whole of it is under Details
    status: str = ""  # one line: place and time left, progress, refusal, receipt
    note: str = ""  # a sentence more about the result, plain: it may quote the prompt
    fraction: float = 0.0  # 0..1 while running
    preview: bytes = b""  # a small JPEG
    text: str = ""  # the text so far, or the finished one
    label: str = ""  # "Made with AI ..."; not empty once there is an output
    pictures: tuple[Picture, ...] = ()
    buttons: tuple[Button, ...] = ()
    private: bool = False
    reply_to: int | None = None
    created_at: str = ""  # ISO 8601, UTC


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an invocation: words (a small Markdown: **bold**, `code`, - lists), cards, or both.

    `draft` asks the platform to open its input filled with this text (Edit), replying to `draft_origin`.
    `files` are documents to hand over untouched (Original): artifacts' ids.
    """

    text: str = ""
    cards: tuple[Card, ...] = ()
    buttons: tuple[Button, ...] = ()
    refused: bool = False
    draft: str | None = None
    draft_command: str = ""
    draft_origin: int | None = None
    files: tuple[int, ...] = ()
    invoice: Invoice | None = None
    only_for_requester: bool = False
    gone: int | None = None  # a job whose card is to be removed
    left: int | None = None  # credits to spend after this, where it changed them
    fresh: bool = False  # this event has just made the cards' jobs: nothing shows them yet


@dataclass(frozen=True, kw_only=True)
class Media:
    """An artifact's bytes on their way to a person."""

    data: bytes
    media_type: str
    name: str


class Undeliverable(Exception):
    """This address can never be reached again by any route that the audience allows."""


class TryLater(Exception):
    """The platform asks to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"try again in {seconds:.0f} s")
        self.seconds = seconds


class Platform(Protocol):
    """One chat network, at its edge. `show` may be dropped or coalesced; `deliver` may not."""

    name: str

    async def run(self) -> None:
        """Serves until cancelled."""
        ...

    async def show(self, account: int, address: Address, card: Card) -> bool:
        """Redraws a job's message while it waits or runs; False when there was no room for it now."""
        ...

    async def deliver(self, account: int, address: Address, card: Card) -> str:
        """Sends a final card; returns the message's id there. Raises `Undeliverable` or `TryLater`."""
        ...

    async def tell(self, account: int, person: str, text: str) -> None:
        """Sends words to one person, in private. Raises `Undeliverable` or `TryLater`."""
        ...


class Chat(Protocol):
    """What platforms may ask of the bot. Everything is checked against the person who asks."""

    async def run(self, invocation: Invocation) -> Reply:
        """Answers any event; what is wrong with it is said in the reply, never raised."""
        ...

    async def cards(self, person: Person, *, before: int | None = None, limit: int = 20) -> list[Card]:
        """The person's jobs, newest first, deleted ones left out."""
        ...

    async def card(self, job: int) -> Card | None:
        """A job's card as its own place shows it; None once it is deleted. For drawing that message again only."""
        ...

    async def media(self, artifact: int) -> Media | None:
        """An artifact's bytes (the link that named it was already verified); None once it is deleted."""
        ...

    async def account(self, person: Person) -> int:
        """The id of the person's account, made at first use."""
        ...


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows for an operator's eyes: the command line, `/admin` and the admin page all draw it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Desk(Protocol):
    """What operators see on the admin page."""

    sections: tuple[str, ...]  # "queue", "jobs", "accounts", "ledger", ...

    async def table(self, section: str, *, page: int = 0) -> Table:
        """One page (50 rows) of a section. Raises KeyError for one that does not exist."""
        ...

    async def redeem(self, token: str) -> bool:
        """Whether this one-time link was good; it never is again."""
        ...
