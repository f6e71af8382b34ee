"""A group's wallet pays for its members, each up to a day's share; else each person pays, as anywhere."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.chat import Address
from bot.jobs import ending, submit
from bot.jobs.refusals import Refusal
from bot.jobs.submit import Ask, Submitted
from storage import accounts, jobs, ledger
from storage.accounts import InForce
from storage.database import DatabaseUnavailable, Session
from storage.ledger import Grant
from tests.bot.jobs.world import World, apple, hangs, now, world

GROUP = Address(platform="test", place="g", kind="group")
BIG = apple(width=256, height=256)  # 4 credits


async def wallet(w: World, credits: int, *, plan: str = "free") -> int:
    def work(session: Session) -> int:
        made = accounts.resolve(session, accounts.place("test", "g"), now())
        ledger.grant(session, made, [Grant(key="p", kind="pack", amount=credits)], now())
        accounts.set_plan(session, made, InForce(plan=plan))
        return made

    return await w.real.run(work)


async def credits(w: World, account: int) -> int:
    return sum(lot.remaining for lot in await w.real.read(ledger.lots, account, now()))


async def ask(w: World, person: int, key: str = "event", **changes: Any) -> Submitted:
    return await w.submit(person, key, address=GROUP, **changes)


async def test_the_group_pays_for_its_members_and_says_so(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        group, ann = await wallet(w, 10), await w.person()
        asked = await ask(w, ann)
        assert (asked.left, asked.job.payer, asked.job.account) == (None, group, ann)
        waiting = await w.board.card(asked.job, "en")
        assert "paid by the group" in waiting.status
        w.board.watch(asked.job)
        await w.live(lambda: w.delivered(asked.job.id))
        assert w.chat.delivered[0].status == "Done · 1 credit · paid by the group"
        assert (await credits(w, group), await credits(w, ann)) == (9, 0)  # nobody needed the day's allowance
        await w.check()


async def test_a_redelivered_event_is_paid_by_the_group_once(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        group, ann = await wallet(w, 10), await w.person()
        again = [await ask(w, ann) for _ in range(3)]
        assert {each.job.id for each in again} == {again[0].job.id}
        assert again[2].left is None
        assert await credits(w, group) == 9


async def test_a_wallet_that_cannot_pay_leaves_it_to_the_person(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        group, ann = await wallet(w, 3), await w.person()
        asked = await ask(w, ann, request=BIG)
        assert (asked.job.payer, asked.left) == (None, 16)
        elsewhere = await w.submit(await w.person("bob"), "elsewhere")
        assert (elsewhere.job.payer, await credits(w, group)) == (None, 3)
        await w.check()


async def test_a_member_takes_no_more_than_the_days_share_and_gets_back_what_was_not_used(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path, ATELIER_PLANS_FREE_MEMBER_DAY="5") as w:
        group = await wallet(w, 100)
        ann, bob = await w.person(), await w.person("bob")
        first = await ask(w, ann, "1", request=BIG)
        second = await ask(w, ann, "2", request=BIG)
        other = await ask(w, bob, "3", request=BIG)
        assert [each.job.payer for each in (first, second, other)] == [group, None, group]
        await w.real.run(ending.cancel, ann, first.job.id, now())
        assert (await ask(w, ann, "4", request=BIG)).job.payer == group
        assert await credits(w, group) == 92
        await w.check()


async def test_stopped_while_running_the_group_pays_the_share_that_was_done(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path, ATELIER_PLANS_FREE_MEMBER_DAY="4") as w:
        group, ann = await wallet(w, 10), await w.person()
        w.engine.script = hangs
        asked = await ask(w, ann, request=BIG)

        async def stopped() -> bool:
            if (await w.job(asked.job.id)).state == "running":
                with suppress(Refusal):  # it was over just then
                    await w.real.run(ending.cancel, ann, asked.job.id, now())
            return await w.delivered(asked.job.id)

        await w.live(stopped)
        assert (await w.job(asked.job.id)).paid == 2
        assert (await credits(w, group), await credits(w, ann)) == (8, 0)
        assert (
            await ask(w, ann, "small", request=apple(count=2))
        ).job.payer == group  # 2 of the day are left
        await w.check()


async def test_the_better_plan_counts_while_the_group_pays(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        group, ann = await wallet(w, 3, plan="pro"), await w.person()
        asked = await ask(w, ann)
        assert (asked.job.tier, asked.job.payer) == ("pro", group)
        assert await credits(w, group) == 5002  # the month's allowance of its plan came first
        await w.real.run(accounts.set_ban, group, "fraud")
        assert (await ask(w, ann, "2")).job.tier == "free"


async def test_a_group_gets_no_daily_allowance(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        group = await wallet(w, 0)
        assert (await ask(w, await w.person())).job.payer is None
        assert await credits(w, group) == 0


async def test_members_who_ask_at_once_share_what_there_is(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        group = await wallet(w, 5)
        people = [await w.person(f"p{number}") for number in range(8)]
        async with asyncio.TaskGroup() as tasks:
            tries = [tasks.create_task(ask(w, each, f"{each}")) for each in people]
        assert sum(each.result().job.payer == group for each in tries) == 5
        assert await credits(w, group) == 0
        await w.check()


async def test_a_thousand_at_once_against_a_balance_for_a_hundred(database_url: str, tmp_path: Path) -> None:
    limits = {f"ATELIER_PLANS_FREE_{key}": "1000" for key in ("PER_MINUTE", "WAITING", "RUNNING")} | {
        "ATELIER_PLANS_FREE_CREDITS_DAY": "0"
    }
    async with world(database_url, tmp_path, **limits) as w:
        ann = await w.person()
        await w.real.run(ledger.grant, ann, [Grant(key="p", kind="pack", amount=100)], now())

        async def one(number: int) -> bool:
            try:
                await w.submit(ann, f"event-{number}")
            except Refusal as refusal:
                assert refusal.message == "refused-credits"
                return False
            except DatabaseUnavailable:  # waited too long for a connection: the event comes again
                return await one(number)
            return True

        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(one(number)) for number in range(1000)]
        assert sum(each.result() for each in tries) == 100
        assert await credits(w, ann) == 0
        assert await w.real.read(jobs.counts) == {"available": 100}
        await w.check()


async def test_who_is_too_fast_hears_when_and_loses_nothing(database_url: str, tmp_path: Path) -> None:
    limits = {"ATELIER_PLANS_FREE_PER_MINUTE": "2", "ATELIER_PLANS_FREE_WAITING": "9"}
    async with world(database_url, tmp_path, **limits) as w:
        ann, start = await w.person(), now()

        async def at(seconds: float, key: str) -> Submitted:
            wanted = Ask(key=key, account=ann, words="w", request=apple(), address=Address(platform="test"))
            moment = start + timedelta(seconds=seconds)
            return await w.real.run(submit.submit, w.config, wanted, moment)

        await at(0, "1")
        await at(0, "2")
        for _ in range(3):
            assert (await at(1, "1")).again  # a redelivered event counts nothing
            with pytest.raises(Refusal, match="refused-rate") as refused:
                await at(1, "3")
            assert refused.value.values["seconds"] == 29
        assert not (await at(30, "3")).again
        assert await credits(w, ann) == 17


async def test_after_a_merge_the_old_account_still_works(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        ann, web = await w.person("ann"), await w.person("web")
        w.engine.script = hangs
        asked = await w.submit(web, "1")
        [claimed] = await w.real.run(jobs.claim, "me", lease_seconds=30, limit=1)
        await w.real.run(accounts.merge, web, ann, now())
        assert await w.real.run(ending.cancelled, claimed, now(), share=1.0, used_us=1)
        job = await w.job(asked.job.id)
        assert (job.account, job.state, job.paid) == (ann, "cancelled", 1)
        late = await w.submit(web, "2")  # who asked did not know yet
        assert (late.job.account, late.left) == (ann, 18)
        await w.check()
