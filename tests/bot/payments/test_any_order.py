"""Providers deliver twenty times, late and in any order, and we die in between: the same ledger as once, in order."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bot.payments.events import AnyEvent, Money
from bot.payments.till import Unmatched
from storage.database import connect
from tests.bot.payments.till_world import DAY, MONTH, NOON, Till, disputes, pays, refunds, stands, subscribes

COPIES = 20
PEOPLE = ("ann", "bob")


@st.composite
def stories(draw: st.DrawFn) -> list[AnyEvent]:
    """What may happen to two people's money within two months, in the order in which it happened."""
    events: list[AnyEvent] = []
    for name in PEOPLE:
        for number in range(draw(st.integers(0, 2))):
            events += _with_trouble(draw, pays(name, f"pack-{name}-{number}", at=NOON + number * DAY))
        for month in range(draw(st.integers(0, 2))):
            events += _with_trouble(draw, subscribes(name, f"month-{name}-{month}", month=month))
        if draw(st.booleans()):
            up = subscribes(name, f"up-{name}", product="plan:pro", instead_of="plan:basic",
                            money=Money(600, "usd"), at=NOON + 2 * DAY)  # fmt: skip
            events.append(up)
        if draw(st.booleans()):
            month = draw(st.integers(0, 1))
            events.append(
                stands(name, at=NOON + 40 * DAY, month=month, renews=False, ended=draw(st.booleans()))
            )
    return sorted(events, key=lambda event: event.at)


def _with_trouble(draw: st.DrawFn, paid: Any) -> Sequence[AnyEvent]:
    payment, after = paid.payment, paid.at + DAY
    trouble = draw(st.sampled_from(["none", "refund", "parts", "failed", "twice", "dispute", "won", "lost"]))
    found: dict[str, list[AnyEvent]] = {
        "none": [],
        "refund": [refunds(payment, at=after)],
        "parts": [refunds(payment, 60, at=after), refunds(payment, 120, at=after + DAY)],
        "failed": [refunds(payment, 90, at=after), refunds(payment, 90, failed=90, at=after + DAY)],
        "twice": [
            refunds(payment, 60, at=after), refunds(payment, 180, at=after),
            refunds(payment, 180, failed=60, at=after + DAY), refunds(payment, 240, failed=60, at=after + DAY),
        ],
        "dispute": [disputes(payment, "open", at=after)],
        "won": [disputes(payment, "open", at=after), disputes(payment, "won", at=after + DAY)],
        "lost": [disputes(payment, "open", at=after), disputes(payment, "lost", at=after + DAY)],
    }  # fmt: skip
    return [paid, *found[trouble]]


@settings(
    max_examples=20, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(story=stories(), chance=st.randoms(use_true_random=False))
def test_the_same_ledger_in_any_order(
    sqlite_template: Path, tmp_path: Path, story: list[AnyEvent], chance: Any
) -> None:
    async def run() -> None:
        assert await _told(sqlite_template, tmp_path, story) == await _told(
            sqlite_template, tmp_path, _shuffled(story, chance)
        )

    asyncio.run(run())


def _shuffled(story: list[AnyEvent], chance: Any) -> list[AnyEvent]:
    copies = story * COPIES
    chance.shuffle(copies)
    return copies


async def _told(template: Path, folder: Path, events: Sequence[AnyEvent]) -> dict[str, Any]:
    """How things stand two months later."""
    path = folder / "a.db"
    shutil.copy(template, path)
    database = connect(f"sqlite:///{path}")
    try:
        till = Till(database)
        people = [await till.person(name) for name in PEOPLE]
        till.at = NOON + 2 * MONTH - DAY
        await _tell(till, events)
        for person in people:
            await till.plan(person)
        return await till.snapshot(people)
    finally:
        await database.close()


async def _tell(till: Till, events: Sequence[AnyEvent]) -> None:
    """What cannot be applied yet is told again at the end, as the cashier does it."""
    left: list[AnyEvent] = []
    for event in events:
        try:
            await till.apply(event)
        except Unmatched:
            left.append(event)
    if left and len(left) < len(events):
        await _tell(till, left)
