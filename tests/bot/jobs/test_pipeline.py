"""The life of a job, on both databases: what it costs, what it shows, how it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from bot.chat import TryLater, Undeliverable
from bot.jobs import ending
from bot.jobs.cards import failure_line
from bot.jobs.progress import Reporter
from bot.jobs.refusals import Refusal
from bot.jobs.rescuer import Rescuer
from generators.messages import Accepted, Event
from generators.requests import Message, Request, WriteText
from storage import accounts, artifacts, deliveries, jobs, ledger, records
from storage.accounts import InForce
from storage.database import Session
from storage.ledger import Grant
from tests.bot.jobs.world import World, apple, fails, hangs, hurries, now, picture, words, world


async def credits(w: World, account: int) -> int:
    return sum(lot.remaining for lot in await w.real.read(ledger.lots, account, now()))


async def test_a_prompt_becomes_a_delivered_picture_and_is_charged_once(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path) as w:
        ann = await w.person()
        asked = await w.submit(ann)
        w.board.watch(asked.job)
        await w.live(lambda: w.delivered(asked.job.id))
        job = await w.job(asked.job.id)
        assert (job.state, job.attempt, job.paid) == ("completed", 1, 1)
        [card] = w.chat.delivered
        assert card.state == "done"
        assert "Made with AI" in card.label
        assert len(card.pictures) == 1
        assert await credits(w, ann) == asked.left == 19
        await w.check()


async def test_a_redelivered_event_makes_no_second_job(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        ann = await w.person()
        async with asyncio.TaskGroup() as group:
            tries = [group.create_task(w.submit(ann, "same")) for _ in range(10)]
        assert len({each.result().job.id for each in tries}) == 1
        assert await credits(w, ann) == 19


async def test_someone_elses_event_is_refused(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        await w.submit(await w.person("ann"), "same")
        with pytest.raises(Refusal, match="refused-event"):
            await w.submit(await w.person("bob"), "same")


async def test_cancelled_before_it_ran_costs_nothing(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        ann = await w.person()
        asked = await w.submit(ann)
        cancelled = await w.database.run(ending.cancel, ann, asked.job.id, now())
        assert cancelled.state == "cancelled"
        assert await credits(w, ann) == 20
        with pytest.raises(Refusal, match="refused-already-over"):
            await w.database.run(ending.cancel, ann, asked.job.id, now())
        with pytest.raises(Refusal, match="refused-not-yours"):
            await w.database.run(ending.cancel, await w.person("bob"), asked.job.id, now())
        await w.check()


async def test_cancelled_while_running_costs_the_share_used(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        w.engine.script = hangs
        ann = await w.person()
        asked = await w.submit(ann, request=apple(width=256, height=256))
        assert asked.price == 4

        async def cancel_when_running() -> bool:
            job = await w.job(asked.job.id)
            if job.state == "running" and not job.cancel_requested:
                await w.real.run(ending.cancel, ann, job.id, now())
            return await w.delivered(job.id)

        await w.live(cancel_when_running)
        job = await w.job(asked.job.id)
        assert (job.state, job.paid) == ("cancelled", 2)
        assert await credits(w, ann) == 18
        await w.check()


async def test_our_failure_is_tried_again_and_then_given_back_with_a_word(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path) as w:
        w.engine.script = fails("worker_lost")
        ann = await w.person()
        asked = await w.submit(ann)
        await w.live(lambda: w.delivered(asked.job.id))
        job = await w.job(asked.job.id)
        assert (job.state, job.attempt, job.error) == ("discarded", 3, "worker_lost")
        assert await credits(w, ann) == 20
        assert "credits are back" in w.chat.delivered[0].status
        await w.check()


async def test_a_job_that_a_lost_cluster_took_along_runs_again_and_counts_no_failure(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path, ATELIER_RETRY_ATTEMPTS="1") as w:

        def goes_away(job: str, request: Request) -> list[Event | None]:
            return (
                fails("cluster_lost")(job, request) if len(w.engine.submitted) < 3 else picture(job, request)
            )

        w.engine.script = goes_away
        asked = await w.submit(await w.person())
        await w.live(lambda: w.delivered(asked.job.id))
        job = await w.job(asked.job.id)
        assert (job.state, job.attempt, job.failures, job.error) == ("completed", 3, 0, None)
        assert not any(how["alone"] for how in w.engine.how)
        await w.check()


@pytest.mark.parametrize(
    "code",
    ["bad_input", "prompt_too_long", "lora_unavailable", "out_of_memory", "model_unavailable", "bad_output"],
)
async def test_what_would_fail_again_is_not_tried_again(database_url: str, tmp_path: Path, code: str) -> None:
    async with world(database_url, tmp_path) as w:
        w.engine.script = fails(code)
        ann = await w.person()
        asked = await w.submit(ann)
        await w.live(lambda: w.delivered(asked.job.id))
        assert (await w.job(asked.job.id)).attempt == 1
        assert await credits(w, ann) == 20


async def test_no_more_pictures_are_claimed_than_there_is_room_for(database_url: str, tmp_path: Path) -> None:
    """What waits on one device is lost to all others, and its order is decided."""
    async with world(database_url, tmp_path, ATELIER_PLANS_FREE_COUNT_MAX="4") as w:
        w.engine.width, w.engine.script = 8, hangs
        asked = [await w.submit(await w.person(name), name, apple(count=3)) for name in "abcdef"]

        async def fed() -> bool:
            return w.engine.room() == 0

        await w.live(fed)
        assert [(await w.job(each.job.id)).attempt for each in asked] == [1, 1, 1, 0, 0, 0]


async def test_what_took_too_long_beside_others_is_tried_once_more_alone(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path) as w:
        w.engine.script = lambda job, request: fails("timeout" if w.engine.how[-1]["alone"] else "crowded")(
            job, request
        )
        asked = await w.submit(await w.person())
        await w.live(lambda: w.delivered(asked.job.id))
        job = await w.job(asked.job.id)
        assert (job.state, job.attempt, job.error) == ("discarded", 2, "timeout")
        assert [how["alone"] for how in w.engine.how] == [False, True]
        assert w.engine.how[0]["limit_seconds"] == w.config.timeouts.image
        assert "try fewer steps or a smaller size" in w.chat.delivered[0].status
        assert "shorter text" in failure_line("en", "timeout", kind="text")
        await w.check()


async def test_the_pool_is_told_what_went_ahead_of_a_job(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        w.engine.width = 1
        said = (Message(role="user", content="x"),)
        text = WriteText(model="smol", messages=said, max_tokens=8)  # of a model that is not warm
        cold = await w.submit(await w.person("ann"), "1", text)
        warm = await w.submit(await w.person("bob"), "2")
        await w.live(lambda: w.delivered(cold.job.id))
        assert w.engine.submitted == [f"{warm.job.id}.1", f"{cold.job.id}.1"]
        assert [how["passed_seconds"] for how in w.engine.how] == [0, warm.job.cost_us / 1e6]


async def test_who_waits_too_long_inside_the_pool_gets_everything_back(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path, ATELIER_TIMEOUTS_QUEUE_FREE="1s") as w:
        w.engine.script = lambda job, request: [Accepted(job=job), None]
        ann = await w.person()
        asked = await w.submit(ann)
        await w.live(lambda: w.delivered(asked.job.id))
        job = await w.job(asked.job.id)
        assert (job.attempt, job.error) == (1, "queue_timeout")
        assert await credits(w, ann) == 20


async def test_what_the_model_did_not_read_is_said_and_kept_until_the_words_are_erased(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(database_url, tmp_path) as w:
        w.engine.script = hurries
        with capture_logs() as logged:
            asked = await w.submit(await w.person())
            await w.live(lambda: w.delivered(asked.job.id))
        [card] = w.chat.delivered
        assert card.note.startswith(f"The model did not read “in a blue bowl{' and more' * 7} a…”")
        assert (await w.board.card(await w.job(asked.job.id), "zh")).note.startswith("太长了")
        assert "bowl" not in repr(logged) + caplog.text
        await w.database.run(jobs.delete, asked.job.id, now())
        assert (await w.job(asked.job.id)).unread == ""


async def test_a_text_streams_and_arrives_whole(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        w.engine.script = words
        asked = await w.submit(await w.person())
        w.board.watch(asked.job)
        await w.live(lambda: w.delivered(asked.job.id))
        assert w.chat.delivered[0].text == "Hello you"


async def test_what_is_shown_follows_what_is_written(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        asked = await w.submit(await w.person())
        w.board.watch(asked.job)
        reporter = Reporter(w.database, hear=w.board.hear, shared=False)
        [claimed] = await w.database.run(jobs.claim, "me", lease_seconds=30, limit=1)
        reporter.started(claimed)
        drawing = asyncio.ensure_future(w.board.run())
        for word in ("Hello", " dear", " you"):
            reporter.token(claimed, word)
            said = len(w.chat.shown)
            async with asyncio.timeout(10):
                while not w.chat.shown[said:] or not w.chat.shown[-1].text.endswith(word):
                    await asyncio.sleep(0.01)
        drawing.cancel()
        assert w.chat.shown[-1].text == "Hello dear you"


async def test_an_attempt_that_was_replaced_changes_nothing(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        asked = await w.submit(await w.person())
        [first] = await w.database.run(jobs.claim, "me", lease_seconds=30, limit=1)
        await w.real.run(jobs.all_lost)
        await w.rescuer.round()
        [second] = await w.database.run(jobs.claim, "me", lease_seconds=30, limit=1)
        made = [artifacts.NewArtifact(ordinal=0, blob="b1", media_type="image/png", size_bytes=1)]
        late = await w.database.run(ending.complete, w.config, first, made, now(), used_us=1)
        good = await w.database.run(ending.complete, w.config, second, made, now(), used_us=1)
        twice = await w.database.run(ending.complete, w.config, second, made, now(), used_us=1)
        assert (late, good, twice) == (False, True, False)
        assert (await w.job(asked.job.id)).paid == 1
        await w.check()


async def test_who_waits_too_long_gets_everything_back(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path, ATELIER_TIMEOUTS_QUEUE_FREE="1s") as w:
        w.engine.width = 0
        ann = await w.person()
        asked = await w.submit(ann)
        await w.live(lambda: w.delivered(asked.job.id))
        assert (await w.job(asked.job.id)).error == "queue_timeout"
        assert await credits(w, ann) == 20


async def test_a_delivery_waits_as_long_as_the_platform_asks(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        w.chat.refuse = TryLater(3600)
        asked = await w.submit(await w.person())

        async def done() -> bool:
            return (await w.job(asked.job.id)).state == "completed" and await w.deliverer.round() == 0

        await w.live(done)
        assert w.chat.delivered == []
        assert (await w.real.read(deliveries.lag))[0] == 1


async def test_what_cannot_be_delivered_waits_in_jobs(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        w.chat.refuse = Undeliverable()
        ann = await w.person()
        asked = await w.submit(ann)
        await w.live(lambda: w.delivered(asked.job.id))
        assert await w.real.read(deliveries.undelivered, ann) == [asked.job.id]


async def test_refusals_name_the_limit_and_hold_nothing(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        ann = await w.person()
        await w.submit(ann, "1")
        await w.submit(ann, "2")
        with pytest.raises(Refusal, match="refused-waiting"):
            await w.submit(ann, "3")
        assert await credits(w, ann) == 18
        bob = await w.person("bob")
        most = apple(width=256, height=256, steps=30, count=2)
        await w.submit(bob, "4", request=most)
        with pytest.raises(Refusal, match="refused-credits"):
            await w.submit(bob, "5", request=most)
        await w.real.run(accounts.set_ban, bob, "spam")
        with pytest.raises(Refusal, match="refused-banned"):
            await w.submit(bob, "6")
        await w.check()


async def test_past_the_budget_of_the_day_free_use_is_relaxed_and_then_refused(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path, ATELIER_BUDGET_FREE_TOTAL="1") as w:
        tiers = [(await w.submit(await w.person(name), name)).job.tier for name in ("ann", "bob")]
        assert tiers == ["free", "relaxed"]
        with pytest.raises(Refusal, match="refused-budget"):
            await w.submit(await w.person("eve"), "eve")
        paid = await w.person("paid")
        await w.real.run(ledger.grant, paid, [Grant(key="p", kind="pack", amount=500)], now())
        await w.real.run(accounts.set_plan, paid, InForce(plan="pro"))
        assert (await w.submit(paid, "paid")).job.tier == "pro"


async def test_a_cleared_cookie_gets_no_second_allowance(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        await w.submit(await w.person("cookie-1"), "1", network="198.51.100.7")
        with pytest.raises(Refusal, match="refused-network"):
            await w.submit(await w.person("cookie-2"), "2", network="198.51.100.7")
        await w.submit(await w.person("elsewhere"), "3", network="203.0.113.9")
        await w.submit(await w.person("cookie-1"), "4", network="198.51.100.7")


async def test_old_rows_of_plans_and_models_that_are_gone_do_no_harm(
    database_url: str, tmp_path: Path
) -> None:
    async with world(database_url, tmp_path) as w:
        ann = await w.person()
        await w.real.run(accounts.set_plan, ann, InForce(plan="platinum"))
        asked = await w.submit(ann)
        assert asked.job.tier == "free"

        def forget_model(session: Session) -> None:
            session.execute(text("UPDATE jobs SET model = 'bygone'"))

        await w.real.run(forget_model)
        await w.live(lambda: w.delivered(asked.job.id))
        assert w.chat.delivered[0].label.endswith("bygone")


async def test_one_person_with_many_jobs_does_not_block_another(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path, ATELIER_PLANS_FREE_WAITING="20", ATELIER_PLANS_FREE_PER_MINUTE="50",
                     ATELIER_PLANS_FREE_RUNNING="20") as w:  # fmt: skip
        ann, bob = await w.person("ann"), await w.person("bob")
        for number in range(8):
            await w.submit(ann, f"a{number}")
        last = await w.submit(bob, "b")
        claimed = await w.database.run(jobs.claim, "me", lease_seconds=30, limit=3)
        assert last.job.id in [job.id for job in claimed[:2]]


async def test_tiers_share_by_weight(database_url: str, tmp_path: Path) -> None:
    limits = {
        f"ATELIER_PLANS_{plan}_{key}": "99"
        for plan in ("FREE", "PRO")
        for key in ("WAITING", "RUNNING", "PER_MINUTE")
    }
    async with world(database_url, tmp_path, **limits) as w:
        ann, pro = await w.person("ann"), await w.person("pro")
        await w.real.run(ledger.grant, pro, [Grant(key="p", kind="pack", amount=500)], now())
        await w.real.run(accounts.set_plan, pro, InForce(plan="pro"))
        for number in range(18):
            await w.submit(ann, f"a{number}")
            await w.submit(pro, f"p{number}")
        claimed = await w.database.run(jobs.claim, "me", lease_seconds=30, limit=18)
        tiers = [job.tier for job in claimed]
        assert tiers.count("pro") == 16  # weights 8 to 1
        await w.check()


async def test_a_retry_that_is_not_due_waits(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path, ATELIER_RETRY_BASE="60s") as w:
        asked = await w.submit(await w.person())
        [claimed] = await w.database.run(jobs.claim, "me", lease_seconds=30, limit=1)
        await w.database.run(ending.fail, w.config, claimed, now(), code="internal", again=True)
        await w.rescuer.round()
        assert (await w.job(asked.job.id)).state == "retryable"
        await w.database.run(jobs.due, now() + timedelta(seconds=61))
        assert (await w.job(asked.job.id)).state == "available"


async def test_media_past_its_time_is_collected_and_orphans_too(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        asked = await w.submit(await w.person())
        await w.live(lambda: w.delivered(asked.job.id))
        kept = timedelta(seconds=w.config.retention.free)
        await Rescuer(w.real, w.blobs, w.config, clock=lambda: now() + kept).sweep()
        assert await w.blobs.get(f"jobs/{asked.job.id}/1/0.png") is None
        assert await w.real.read(artifacts.of_jobs, [asked.job.id]) == {asked.job.id: []}


async def test_budgets_are_corrected_by_what_was_used(database_url: str, tmp_path: Path) -> None:
    async with world(database_url, tmp_path) as w:
        asked = await w.submit(await w.person())
        await w.live(lambda: w.delivered(asked.job.id))
        assert await w.real.read(records.spent, f"free:{now():%Y-%m-%d}") == 200_000
