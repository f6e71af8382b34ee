"""`admin`: who may do what, once, and with a trace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select, update

from bot.chat import Locale
from generators.device import DeviceStatus
from storage import devices, records
from storage.tables import DeviceRow
from storage.types import from_now
from tests.bot.commands.stage import Open, Stage, stage

ADMINS = {
    "ATELIER_ADMINS_OWNER": "test:boss", "ATELIER_ADMINS_BILLING": "test:bill",
    "ATELIER_ADMINS_SUPPORT": "test:sue", "ATELIER_ADMINS_MODERATOR": "test:mod",
}  # fmt: skip
MAY = {
    "grant test:ann 5": {"boss", "bill", "sue"},
    "plan test:ann pro": {"boss", "bill"},
    "user test:ann": {"boss", "bill", "sue", "mod"},
    "stats": {"boss", "bill", "sue", "mod"},
    "ban test:ann yes spam": {"boss", "mod"},
    "unban test:ann": {"boss", "mod"},
    "pool": {"boss", "mod"},
}


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(database_url, tmp_path, **ADMINS) as play:
        await play.say("balance")
        yield play


async def test_each_role_may_do_its_own_and_nothing_else(office: Stage) -> None:
    for command, allowed in MAY.items():
        for who in ("boss", "bill", "sue", "mod"):
            reply = await office.say("admin", command, by=who)
            assert reply.refused == (who not in allowed), (command, who, reply.text)
            assert not reply.refused or "needs one of these roles" in reply.text


async def test_nobody_else_is_an_admin(office: Stage) -> None:
    for command in MAY:
        reply = await office.say("admin", command)
        assert (reply.refused, reply.text) == (True, "This is for the admins named in config.toml.")
    assert await office.credits() == 20


async def test_a_grant_counts_once_however_often_its_event_comes(office: Stage) -> None:
    for _ in range(3):
        reply = await office.say("admin", "grant test:ann 5 sorry", by="boss", event="same")
    assert "there are 25 to spend now" in reply.text
    assert reply.only_for_requester
    await office.say("admin", "grant test:ann -3 yes", by="boss")
    assert await office.credits() == 22
    audit = await office.world.real.read(records.audits, limit=9, offset=0)
    assert [(each.actor, each.action) for each in audit] == [("test:boss", "grant")] * 2
    assert audit[-1].reason == "sorry"


async def test_more_than_there_is_cannot_be_taken(office: Stage) -> None:
    await office.say("admin", "grant test:ann -500 yes", by="boss")
    assert await office.credits() == 0


async def test_a_ban_is_told_to_the_banned_with_its_reason_and_can_be_lifted(office: Stage) -> None:
    asked = await office.say("admin", "ban test:ann too much spam", by="mod")
    assert "admin ban test:ann yes too much spam" in asked.text  # nothing is taken away before a yes
    assert not (await office.say("imagine", "a red apple")).refused
    await office.say("admin", "ban test:ann yes too much spam", by="mod")
    reply = await office.say("imagine", "a red apple")
    assert reply.refused
    assert "Reason: too much spam." in reply.text
    await office.say("admin", "unban test:ann", by="mod")
    assert not (await office.say("imagine", "a red apple")).refused


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("en", "You can't make anything here for now. Write to the operator if this is a mistake."),
        ("zh", "你暂时不能在这里生成内容。如有误请联系管理员。"),
    ],
)
async def test_a_ban_without_a_reason_names_none(office: Stage, locale: Locale, said: str) -> None:
    await office.say("admin", "ban test:ann yes", by="mod")
    assert (await office.say("imagine", "a red apple", locale=locale)).text == said
    assert "**banned**: yes" in (await office.say("admin", "user test:ann", by="mod")).text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("grant", "admin grant WHO AMOUNT"),
        ("grant test:ann", "admin grant WHO AMOUNT"),
        ("grant test:ann many", "“many” is not a number of credits"),
        ("grant test:ann 0", "“0” is not a number of credits"),
        ("grant test:ann ٣", "is not a number of credits"),
        ("grant test:ann 99999999999", "is not a number of credits"),
        ("grant nobody 5", "There is no account “nobody”"),
        ("grant test:nobody 5", "There is no account “test:nobody”"),
        ("grant #999999 5", "There is no account “#999999”"),
        ("grant #99999999999999999999 5", "There is no account"),
        ("grant test:'; DROP TABLE jobs 5", "is not a number of credits"),
        ("plan test:ann platinum", "There is no plan “platinum”. There are: basic, free, pro"),
        ("ban test:ann", "admin ban WHO REASON"),
        ("dance", "admin stats"),
        ("", "admin stats"),
    ],
)
async def test_what_is_wrong_is_said(office: Stage, command: str, said: str) -> None:
    assert said in (await office.say("admin", command, by="boss")).text
    assert await office.credits() == 20


async def test_user_and_stats_show_figures_and_never_a_prompt(office: Stage) -> None:
    await office.made("imagine", "a secret apple")
    user = (await office.say("admin", "user test:ann", by="sue")).text
    assert "test:ann" in user
    assert "lot daily" in user
    stats = (await office.say("admin", "stats", by="sue")).text
    assert "jobs completed" in stats
    assert "secret" not in user + stats


async def test_user_shows_a_debt_in_a_sentence(open_stage: Open) -> None:
    play = await open_stage(**ADMINS, ATELIER_PLANS_FREE_CREDITS_DAY="0")
    await play.say("balance")
    assert "debt" not in (await play.say("admin", "user test:ann", by="sue")).text
    await play.owe("ann", 1)
    assert "1 credit is owed: a payment" in (await play.say("admin", "user test:ann", by="sue")).text
    assert "欠 1 积分" in (await play.say("admin", "user test:ann", by="sue", locale="zh")).text


# --- the pool -----------------------------------------------------------------------------------------------


async def test_pool_shows_devices_of_every_process_and_the_queue_by_tier(office: Stage) -> None:
    await listed(office, "one", gpu("host/gpu:0"))
    await listed(office, "two", gpu("host/gpu:1", state="drained"), gpu("host/gpu:0"))
    office.world.engine.room = lambda: 0
    await office.say("imagine", "a secret apple")
    said = (await office.say("admin", "pool", by="mod")).text
    assert "**host/gpu:0@one**: ready · 2 · 1 · sdxl 4.8 GB × 6.5 rows · Card 9, 24.0 GB, 1 restarts" in said
    assert "**host/gpu:0@two**" in said
    assert "**host/gpu:1**: drained" in said
    assert "**free**: queue · 0 · 1" in said
    assert "secret" not in said


async def test_drain_and_resume_are_wishes_that_the_process_reads(office: Stage) -> None:
    await listed(office, "one", gpu("a"))
    assert await listed(office, "two", gpu("b")) == set()
    assert "takes no more jobs" in (await office.say("admin", "pool drain b", by="boss")).text
    shown = (await office.say("admin", "pool", by="boss")).text
    assert ("**a**: ready" in shown, "**b**: draining" in shown) == (True, True)  # before its process says so
    assert (await listed(office, "one", gpu("a")), await listed(office, "two", gpu("b"))) == (set(), {"b"})
    assert "takes jobs again" in (await office.say("admin", "pool resume b", by="boss")).text
    assert await listed(office, "two", gpu("b")) == set()
    wrong = await office.say("admin", "pool drain c", by="boss")
    assert (wrong.refused, wrong.text) == (True, "There is no device “c”. There are: a, b.")
    audit = await office.world.real.read(records.audits, limit=9, offset=0)
    assert [(each.actor, each.action, each.details) for each in audit] == [
        ("test:boss", "resume", {"device": "b"}), ("test:boss", "drain", {"device": "b"}),
    ]  # fmt: skip


async def test_a_silent_process_is_not_listed(office: Stage) -> None:
    await listed(office, "one", gpu("a"))
    await office.world.real.run(
        lambda session: session.execute(update(DeviceRow).values(seen_at=from_now(-31)))
    )
    assert "“a”. There are: -" in (await office.say("admin", "pool drain a", by="boss")).text
    await office.world.real.run(devices.forget, "two")  # whoever leaves sweeps up
    assert await office.world.real.read(lambda session: session.scalar(select(DeviceRow.name))) is None


async def test_an_admin_ends_anybodys_job(office: Stage) -> None:
    office.world.engine.room = lambda: 0
    [card] = (await office.say("imagine", "a red apple")).cards
    reply = await office.say("admin", f"pool cancel #{card.job}", by="mod")
    assert f"Job #{card.job} is being cancelled" in reply.text
    assert await office.credits() == 20
    for wrong, said in (
        ("999", "There is no job “999”"),
        ("x", "There is no job “x”"),
        (str(card.job), "over"),
    ):
        assert said in (await office.say("admin", f"pool cancel {wrong}", by="mod")).text


def gpu(device: str, state: Any = "ready") -> DeviceStatus:
    return DeviceStatus(
        device=device, name="Card 9", state=state, resident={"sdxl": 5_153_960_755}, rows={"sdxl": 6.5},
        running=2, waiting=1, memory_bytes=24 << 30, restarts=1,
    )  # fmt: skip


async def listed(office: Stage, process: str, *statuses: DeviceStatus) -> set[str]:
    """What a process that generates does every few seconds."""
    said = {each.device: msgspec.json.encode(each) for each in statuses}
    return await office.world.real.run(devices.report, process, said)
