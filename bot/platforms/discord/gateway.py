"""The connection: discord.py's sharded client, without privileged intents and without its object cache.

It identifies, beats, resumes and shares out rate limits; events come to us as Discord sent them. Every parser is
guarded, because an exception in one would end its shard.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import discord
import structlog
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.config import ConfigError, DiscordChat

Event = dict[str, Any]
Hear = Callable[[Event], None]
WAIT_SECONDS_MAX = 3.0  # longer rate limits are not slept through but handed to our own budgets
SWEEP_SECONDS = 20.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Shards:
    """This process's part of all shards; both None: all, as many as Discord recommends."""

    ids: list[int] | None = None
    count: int | None = None


def shards_of(text: str) -> Shards:
    """`0-3/8` are shards 0 to 3 of 8. Raises ConfigError."""
    if not text.strip():
        return Shards()
    found = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?/\s*(\d{1,5})\s*", text)
    first, last, count = (
        (int(part) for part in (found[1], found[2] or found[1], found[3])) if found else (1, 0, 0)
    )
    if not first <= last < count:
        raise ConfigError(
            f'discord.shards must be like "0-3/8": first-last/all, counted from 0, not "{text}".'
        )
    return Shards(ids=list(range(first, last + 1)), count=count)


def point(settings: DiscordChat) -> None:
    """Where discord.py connects to; its addresses are of the whole process."""
    Route.BASE = settings.api_base.rstrip("/")
    if settings.gateway_url:
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(settings.gateway_url)


class Gateway(discord.AutoShardedClient):
    """One life of the connection. `ready` is set once the first of its shards has a session."""

    def __init__(self, settings: DiscordChat, events: dict[str, Hear], ready: asyncio.Event) -> None:
        point(settings)
        shards = shards_of(settings.shards)
        sharding: dict[str, Any] = {"shard_ids": shards.ids, "shard_count": shards.count}
        self._asks_for_shards = bool(settings.gateway_url) and shards.count is None
        self._session = ready
        super().__init__(
            intents=discord.Intents(guild_messages=True, dm_messages=True),
            **sharding,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            guild_ready_timeout=0.0,
        )
        self.http.max_ratelimit_timeout = WAIT_SECONDS_MAX
        _sweep_seldom(self.http)
        self._listen(events)

    async def setup_hook(self) -> None:
        """An address of the operator's own is used for all shards, not only where their number is given."""
        if self._asks_for_shards:
            self.shard_count, _, _ = await self.http.get_bot_gateway()

    async def on_shard_connect(self, shard_id: int) -> None:
        log.info("discord.shard_connected", shard=shard_id)

    def _listen(self, events: dict[str, Hear]) -> None:
        parsers = self._connection.parsers
        parsers.update(events)
        for name, parse in list(parsers.items()):
            parsers[name] = self._guarded(name, parse)

    def _guarded(self, name: str, parse: Hear) -> Hear:
        def guarded(event: Event) -> None:
            try:
                parse(event)
            except Exception as error:
                log.warning("discord.malformed", event_name=name, error=type(error).__name__)
            if name == "READY":
                self._session.set()

        return guarded


def _sweep_seldom(http: Any) -> None:
    """Each interaction has rate limits of its own; discord.py looks at all of the last minutes' for each new one."""
    sweep, swept = http._try_clear_expired_ratelimits, 0.0

    def seldom() -> None:
        nonlocal swept
        if (now := time.monotonic()) - swept >= SWEEP_SECONDS:
            swept = now
            sweep()

    http._try_clear_expired_ratelimits = seldom
