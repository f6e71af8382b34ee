"""People who talk to the whole bot in one process: real commands, real SQL; devices and chat are scripted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bot.buttons import Buttons
from bot.chat import Action, Address, Attachment, Audience, Card, Invocation, Locale, Person, Reply
from bot.commands.context import Context
from bot.office import Office
from bot.operations import Operations
from bot.payments.shop import Shop
from bot.places import Places
from bot.service import Service
from bot.signing import Signer
from storage import ledger
from storage.ledger import Grant
from tests.bot.jobs.world import KEY, World, now, world

SUGGESTIONS = ("a red apple", "a rocket", "a fox", "a whale")
_events = itertools.count(1)


class Stage:
    """The service of one world. `say` and `press` are what a person does; `ended` waits for a result."""

    def __init__(self, made: World, **context: Any) -> None:
        self.world, self.config = made, made.config
        self.signer = Signer(KEY)
        self.buttons = Buttons(self.signer, lifetime_seconds=3600)
        self._seeds = itertools.count(1000)
        parts: dict[str, Any] = {
            "database": made.database, "blobs": made.blobs, "config": made.config, "abilities": made.abilities,
            "board": made.board,
            "buttons": self.buttons, "signer": self.signer,
            "operations": Operations(made.database, made.config, self.signer, clock=now),
            "places": Places(made.database), "shop": Shop(made.database, made.config, [], clock=now),
            "office": Office(made.database, made.config, clock=now), "clock": now,
            "seed": lambda: next(self._seeds),
            "suggestions": SUGGESTIONS,
        }  # fmt: skip
        self.context = Context(**(parts | context))
        self.service = Service(self.context)

    def but(self, **context: Any) -> Stage:
        """The same stage with other parts: a broken database, a full store, another configuration."""
        other = Stage(self.world, **context)
        other.service = Service(replace(self.context, **context))
        return other

    async def say(
        self, command: str, text: str = "", *, by: str = "ann", event: str = "", origin: int | None = None,
        picture: bytes | None = None, name: str = "cat.png", locale: Locale = "en", place: str = "private",
        audience: Audience = Audience.EVERYONE, network: str = "", button: str = "",
    ) -> Reply:  # fmt: skip
        async def read() -> bytes:
            return picture or b""

        attachments = (
            (Attachment(name=name, size_bytes=len(picture), read=read),) if picture is not None else ()
        )
        return await self.service.run(
            Invocation(
                event=event or f"event-{next(_events)}", command=command, text=text, button=button, origin=origin,
                person=Person(platform="test", id=by, locale=locale, network=network),
                address=Address(
                    platform="test", place=place, kind="private" if place == "private" else "group",
                    audience=audience, locale=locale,
                ),
                attachments=attachments,
            )
        )  # fmt: skip

    async def press(self, button: str, **fields: Any) -> Reply:
        return await self.say("press", button=button, **fields)

    async def made(self, command: str, text: str, **fields: Any) -> Card:
        """The finished card of a prompt that must be accepted."""
        reply = await self.say(command, text, **fields)
        assert not reply.refused, reply.text
        [card] = reply.cards
        return await self.ended(card.job)

    async def ended(self, job: int) -> Card:
        async with asyncio.timeout(10):
            while not (found := [card for card in self.world.chat.delivered if card.job == job]):
                await asyncio.sleep(0.01)
        return found[-1]

    async def credits(self, by: str = "ann") -> int:
        account = await self.world.person(by)
        return sum(lot.remaining for lot in await self.world.real.read(ledger.lots, account, now()))

    async def give(self, by: str, credits: int) -> None:
        account = await self.world.person(by)
        await self.world.real.run(
            ledger.grant, account, [Grant(key=f"given-{next(_events)}", kind="gift", amount=credits)], now()
        )

    async def owe(self, by: str, credits: int) -> None:
        """Buys and spends credits whose payment is then returned. Without an allowance nothing else is spent first."""
        account, key = await self.world.person(by), f"pack-{next(_events)}"
        await self.world.real.run(ledger.grant, account, [Grant(key=key, kind="pack", amount=credits)], now())
        await self.made("imagine", f"an apple -n {credits}", by=by)
        reverse = partial(ledger.reverse, key=f"refund-{key}", reason="refund")
        await self.world.real.run(reverse, account, [key], now())


def button(card: Card, action: Action) -> str:
    [found] = [each.id for each in card.buttons if each.action is action]
    return found


@asynccontextmanager
async def stage(url: str, folder: Path, **environ: str) -> AsyncIterator[Stage]:
    """A world that runs in the background until the test is over; its books must be right then."""
    environ = {"ATELIER_PLANS_FREE_PER_MINUTE": "1000", **environ}
    async with world(url, folder, **environ) as made:
        running = asyncio.create_task(made.live(_never))
        try:
            yield Stage(made)
            await made.check()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def _never() -> bool:
    return False


Open = Callable[..., Any]
