"""What commands work with, and who is asking. A command is a function of both and answers with a `Reply`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from bot.buttons import Buttons
from bot.chat import Audience, Invocation, Locale, Reply
from bot.config import Config
from bot.jobs.abilities import Abilities
from bot.jobs.board import Board
from bot.office import Office
from bot.operations import Operations
from bot.payments.shop import Shop
from bot.places import Places
from bot.replies import say
from bot.signing import Signer
from storage.blobs import Blobs
from storage.database import Database


@dataclass(frozen=True, kw_only=True)
class Context:
    database: Database
    blobs: Blobs
    config: Config
    abilities: Abilities
    board: Board
    buttons: Buttons
    signer: Signer
    operations: Operations
    places: Places
    shop: Shop
    office: Office
    clock: Callable[[], datetime]
    seed: Callable[[], int]  # a fresh seed for a prompt that names none
    suggestions: tuple[str, ...]  # prompts that the starter model draws well


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One invocation with the account that pays for it."""

    account: int
    invocation: Invocation

    @property
    def locale(self) -> Locale:
        return self.invocation.address.locale

    @property
    def private(self) -> bool:
        return self.invocation.address.audience is Audience.PRIVATE

    @property
    def key(self) -> str:
        """The event, as an idempotency key. It names the person, not the account: accounts merge."""
        person = self.invocation.person
        return f"{person.platform}:{person.id}:{self.invocation.event}"[:200]

    def say(self, message: str, /, **values: str | int | float) -> str:
        return say(self.locale, message, **values)


Run = Callable[[Context, Asking], Awaitable[Reply]]
