"""News from providers: kept durably before it is acknowledged, then applied, and again if that failed.

webhook or update ──> `keep` (one transaction) ──> 2xx ──> `read` by the provider ──> `till.apply`, marked applied
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec
import structlog

from bot.config import Config
from bot.payments import notices, referrals, till
from bot.payments.events import AnyEvent, Paid
from bot.payments.provider import Provider, ProviderAway
from storage import errands
from storage.database import Database, Session
from storage.errands import Letter

log = structlog.get_logger(__name__)

_EVENTS = msgspec.json.Decoder(list[AnyEvent])


def encode(events: Sequence[AnyEvent]) -> bytes:
    """A letter's body for a provider whose messages say all by themselves."""
    return msgspec.json.encode(list(events))


def decode(letter: Letter) -> list[AnyEvent]:
    return _EVENTS.decode(letter.body)


class Inbox:
    def __init__(self, database: Database, config: Config, *, clock: Callable[[], datetime]) -> None:
        self._database, self._config, self._clock = database, config, clock

    async def keep(self, provider: str, external_id: str, kind: str, body: bytes) -> Letter:
        """Durable when it returns; the same id again gives the same letter. `body` holds no payment details."""
        return await self._database.run(
            errands.receive, self._clock(), provider=provider, external_id=external_id, kind=kind, body=body
        )

    async def open(self, provider: Provider, letter: Letter) -> bool:
        """Applies a letter unless it was; whether it now is. What goes wrong is kept beside it."""
        if letter.applied:
            return True
        try:
            events = await provider.read(letter)
            await self._database.run(self._apply_letter, letter, events)
        except (ProviderAway, till.Unmatched, msgspec.ValidationError) as error:
            log.warning("payments.not_applied", provider=letter.provider, kind=letter.kind, letter=letter.id)
            await self._database.run(errands.failed, letter.id, str(error)[:200])
            return False
        return True

    async def apply(self, events: Sequence[AnyEvent]) -> list[till.Outcome]:
        """Applies events that need no letter: what was asked of the provider just now. Raises Unmatched."""
        return await self._database.run(self._apply, events)

    def _apply_letter(self, session: Session, letter: Letter, events: Sequence[AnyEvent]) -> None:
        self._apply(session, events)
        errands.applied(session, letter.id)

    def _apply(self, session: Session, events: Sequence[AnyEvent]) -> list[till.Outcome]:
        now = self._clock()
        outcomes = [till.apply(session, self._config, event, now) for event in events]
        for event, outcome in zip(events, outcomes, strict=True):
            notices.of_money(session, self._config, event, outcome, now)
            if isinstance(event, Paid) and outcome.bought and not event.test:
                referrals.reward(session, self._config, outcome.bought, now)
        return outcomes
