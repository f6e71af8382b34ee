"""Send budgets: never faster than a platform allows, results before progress, pauses kept."""

from __future__ import annotations

import asyncio

import pytest

from bot.chat import TryLater
from bot.platforms.pacing import Pacer, Rate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pacer(clock: Clock) -> Pacer:
    return Pacer(
        Rate(30, 30), lambda chat: Rate(20 / 60, 3) if chat.startswith("-") else Rate(1, 2), clock=clock
    )


async def test_progress_beyond_the_budget_is_dropped_and_comes_back_with_time() -> None:
    clock = Clock()
    p = pacer(clock)
    assert [p.try_progress("1") for _ in range(3)] == [True, True, False]
    assert p.try_progress("2")
    clock.now += 1
    assert [p.try_progress("1") for _ in range(2)] == [True, False]


async def test_all_chats_together_keep_the_overall_budget() -> None:
    p = pacer(Clock())
    assert sum(p.try_progress(str(chat)) for chat in range(100)) == 30


async def test_a_result_takes_precedence_over_progress() -> None:
    p = pacer(Clock())
    async with p.result("1"):
        assert not p.try_progress("1")
        assert p.try_progress("2")
    assert p.try_progress("1")


async def test_a_pause_is_kept_and_a_long_one_is_put_off() -> None:
    clock = Clock()
    p = pacer(clock)
    p.pause("1", 3600)
    assert not p.try_progress("1")
    with pytest.raises(TryLater) as later:
        async with p.result("1"):
            pass
    assert later.value.seconds == pytest.approx(3600)
    assert p.try_progress("2")
    p.pause(None, 5)
    assert not p.try_progress("3")
    clock.now += 5
    assert p.try_progress("3")


async def test_results_of_a_chat_go_one_after_the_other() -> None:
    p = Pacer(Rate(1000, 1000), lambda _: Rate(1000, 1000))
    order: list[str] = []

    async def send(name: str) -> None:
        async with p.result("1"):
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(send(name))
    assert order == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]
