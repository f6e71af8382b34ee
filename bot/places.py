"""What the people who run a server or group decided for it: read often, changed seldom, so kept for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from bot.chat import Locale
from storage import accounts, places
from storage.database import Database, Session

KEPT_SECONDS = 30.0
KEPT_MAX = 20_000


class PlaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`channels` where the bot answers (empty: all); `hourly`: jobs an hour in the whole place (0: no cap)."""

    channels: tuple[str, ...] = ()
    threads: bool = False  # each request in a thread of its own
    spoilers: bool = False  # pictures are veiled until tapped
    hourly: int = 0
    locale: Locale | None = None  # None: each person's own


class Places:
    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._kept: dict[tuple[str, str], tuple[float, PlaceSettings]] = {}

    async def get(self, platform: str, place: str) -> PlaceSettings:
        """The place's settings; what an older version wrote and cannot be read counts as none."""
        kept = self._kept.get((platform, place))
        if kept is not None and kept[0] > self._clock():
            return kept[1]
        raw = await self._database.read(places.settings, platform, place)
        return self._keep(platform, place, _decoded(raw))

    async def set(self, platform: str, place: str, settings: PlaceSettings) -> None:
        await self._database.run(places.set_settings, platform, place, msgspec.json.encode(settings))
        self._keep(platform, place, settings)

    async def move(self, platform: str, old: str, new: str) -> None:
        """The place has another id now: its settings and its wallet follow."""
        await self._database.run(_move, platform, old, new, datetime.now(UTC))
        self._kept.pop((platform, old), None)
        self._kept.pop((platform, new), None)

    def _keep(self, platform: str, place: str, settings: PlaceSettings) -> PlaceSettings:
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[platform, place] = (self._clock() + KEPT_SECONDS, settings)
        return settings


def _move(session: Session, platform: str, old: str, new: str, now: datetime) -> None:
    places.move(session, platform, old, new)
    accounts.move_place(session, platform, old, new, now)


def _decoded(raw: bytes | None) -> PlaceSettings:
    try:
        return msgspec.json.decode(raw, type=PlaceSettings) if raw else PlaceSettings()
    except msgspec.DecodeError:
        return PlaceSettings()
