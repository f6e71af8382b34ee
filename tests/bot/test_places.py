"""Places, their settings, leases, tokens, claims and erasure, on both databases."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from bot.chat import Address
from bot.jobs.refusals import Refusal
from bot.places import Places, PlaceSettings
from storage import accounts, jobs, ledger, places
from storage.database import Database
from tests.bot.jobs.world import apple, hangs, now, world


async def test_settings_are_kept_by_place_and_move_with_it(database: Database) -> None:
    here = Places(database)
    assert await here.get("telegram", "-1") == PlaceSettings()
    await here.set("telegram", "-1", PlaceSettings(hourly=20, spoilers=True))
    assert (await Places(database).get("telegram", "-1")).hourly == 20
    await here.move("telegram", "-1", "-100")
    assert (await here.get("telegram", "-100")).spoilers
    assert await here.get("telegram", "-1") == PlaceSettings()


async def test_settings_that_cannot_be_read_count_as_none(database: Database) -> None:
    await database.run(places.set_settings, "discord", "1", b"\xff not ours")
    assert await Places(database).get("discord", "1") == PlaceSettings()


async def test_one_owner_at_a_time_leads(database: Database) -> None:
    async with asyncio.TaskGroup() as group:
        tries = [
            group.create_task(database.run(places.lead, "poller", f"p{n}", seconds=30)) for n in range(8)
        ]
    [leader] = [number for number, each in enumerate(tries) if each.result()]
    assert await database.run(places.lead, "poller", f"p{leader}", seconds=30)
    await database.run(places.step_down, "poller", f"p{leader}")
    assert await database.run(places.lead, "poller", "another", seconds=0)
    assert await database.run(places.lead, "poller", "successor", seconds=30)  # a lease that ran out
    await database.run(places.nobody_leads)
    assert await database.run(places.lead, "poller", "after a crash", seconds=30)


async def test_the_newest_token_counts_and_is_erased_when_it_expires(database: Database) -> None:
    for token in ("old", "new"):
        await database.run(places.keep_token, "discord", "c", "p", token, seconds=60)
    await database.run(places.forget_tokens)
    assert await database.read(places.token, "discord", "c", "p") == "new"
    await database.run(places.keep_token, "discord", "c", "p", "over", seconds=-1)
    assert await database.read(places.token, "discord", "c", "p") is None
    await database.run(places.forget_tokens)
    assert await database.read(lambda s: s.scalar(text("SELECT count(*) FROM tokens"))) == 0


async def test_a_place_has_its_own_cap_an_hour(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        group = Address(platform="test", place="-1", kind="group")
        from bot.jobs import submit
        from bot.jobs.submit import Ask

        async def ask(name: str) -> None:
            wanted = Ask(
                key=name, account=await w.person(name), words="w", request=apple(), address=group, hourly=2
            )
            await w.database.run(submit.submit, w.config, wanted, now())

        await ask("ann")
        await ask("bob")
        with pytest.raises(Refusal, match="refused-hourly"):
            await ask("eve")


async def test_erasing_leaves_no_words_and_keeps_the_books(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        ann = await w.person()
        done = await w.submit(ann, "done")
        await w.live(lambda: w.delivered(done.job.id))
        w.engine.script = hangs
        running = await w.submit(ann, "running")
        [claimed] = await w.database.run(jobs.claim, "me", lease_seconds=30, limit=1)
        assert claimed.id == running.job.id

        def erase(session: object) -> None:
            from bot.jobs import ending

            ending.cancel(session, ann, running.job.id, now())  # type: ignore[arg-type]
            accounts.erase(session, ann, now())  # type: ignore[arg-type]

        await w.real.run(erase)
        from bot.jobs import ending

        assert await w.real.run(ending.cancelled, claimed, now(), share=0.0, used_us=0)
        rows = await w.real.read(lambda s: s.execute(text("SELECT words, request FROM jobs")).all())
        assert [(words, bytes(request)) for words, request in rows] == [("", b""), ("", b"")]
        await w.rescuer.sweep()
        assert await w.blobs.get(f"jobs/{done.job.id}/1/0.png") is None
        assert await w.real.read(ledger.check) == []
        assert msgspec.json.encode(await w.real.read(jobs.of_account, ann)) == b"[]"
