"""`jobs`, `balance`, `help`: what one may ask at any time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.chat import Action, Undeliverable
from bot.commands import REGISTRY
from tests.bot.commands.stage import Open, Stage, button, stage
from tests.bot.jobs.world import hangs


async def test_jobs_lists_what_is_on_its_way_with_a_way_to_stop_it(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as play:
        assert (await play.say("jobs")).text == "Nothing of yours is in line or running."
        play.world.engine.script = hangs
        asked = [(await play.say("imagine", "a red apple")).cards[0].job for _ in range(2)]
        reply = await play.say("jobs")
        assert "2 jobs are on their way" in reply.text
        assert [card.job for card in reply.cards] == asked[::-1]
        for card in reply.cards:
            await play.press(button(card, Action.CANCEL))
        for job in asked:
            assert (await play.ended(job)).state == "cancelled"
        assert (await play.say("jobs", by="bob")).cards == ()


async def test_what_could_not_be_brought_waits_in_jobs(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as play:
        play.world.chat.refuse = Undeliverable()
        job = (await play.say("imagine", "a red apple")).cards[0].job
        async with asyncio.timeout(10):
            while not await play.world.delivered(job):
                await asyncio.sleep(0.01)
        reply = await play.say("jobs")
        assert "one result could not be brought to you" in reply.text
        assert reply.cards[0].pictures
        await play.press(button(reply.cards[0], Action.DELETE))
        assert (await play.say("jobs")).cards == ()


async def test_balance_gives_what_is_due_once_a_day(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as play:
        for _ in range(2):
            reply = await play.say("balance")
            assert "**20 credits** to spend" in reply.text  # half of 40: the account is new
            assert reply.only_for_requester
        await play.give("ann", 5)
        said = (await play.say("balance")).text
        assert "**25 credits**" in said
        assert "Gift: 5" in said
        assert "Daily allowance: 20, good until" in said
        assert "Plan **Free**: 1 at once, 2 in line" in said


async def test_balance_says_when_the_network_has_had_its_share(play: Stage) -> None:
    await play.say("balance", by="cookie-1", network="198.51.100.7")
    reply = await play.say("balance", by="cookie-2", network="198.51.100.7")
    assert "**0 credits**" in reply.text
    assert "went to another session" in reply.text
    again = await play.say("balance", by="cookie-1", network="198.51.100.7")
    assert "**20 credits**" in again.text


async def test_balance_says_what_is_owed_and_what_repays_it(open_stage: Open) -> None:
    play = await open_stage(ATELIER_PLANS_FREE_CREDITS_DAY="0")
    await play.owe("ann", 2)
    assert "You owe 2 credits: a payment was taken back" in (await play.say("balance")).text
    assert "你还欠 2 积分" in (await play.say("balance", locale="zh")).text
    await play.give("ann", 5)
    said = (await play.say("balance")).text
    assert "**3 credits**" in said
    assert "owe" not in said


async def test_a_monthly_plan_gives_its_credits(open_stage: Open) -> None:
    play = await open_stage(ATELIER_ADMINS_OWNER="test:boss")
    await play.say("balance")
    await play.say("admin", "plan test:ann basic 30 paid by hand", by="boss")
    assert "**1,520 credits**" in (await play.say("balance")).text


async def test_help_names_models_styles_and_has_examples_to_tap(play: Stage) -> None:
    reply = await play.say("help")
    for known in ("Tiny Emoji", "MIT", "SmolLM2 135M", "watercolor", "--ar", "350"):
        assert known in reply.text
    assert [each.label for each in reply.buttons] == ["a red apple", "a rocket", "a fox"]
    chinese = await play.say("help", locale="zh")
    assert "入门模型" in chinese.text


async def test_a_command_that_does_not_exist_names_the_nearest(play: Stage) -> None:
    reply = await play.say("imagin", "a red apple")
    assert reply.refused
    assert reply.text == "There is no command “imagin”. Did you mean “imagine”?"
    assert set(REGISTRY) >= {"imagine", "write", "jobs", "balance", "settings", "help", "admin"}


async def test_where_nothing_is_sold_a_name_to_buy_or_give_is_answered_so(play: Stage) -> None:
    await play.say("balance", by="bob")
    for command, text in (("buy", "small"), ("gift", "test:bob small"), ("gift", "test:bob")):
        reply = await play.say(command, text)
        assert (reply.refused, reply.text[:22]) == (True, "Nothing is sold here. ")
