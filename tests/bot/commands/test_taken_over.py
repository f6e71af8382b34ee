"""Another person's result, made on: whoever asks gets what their own plan and today's policy allow."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bot.chat import Action, Card, Reply
from bot.config import Safety
from generators import requests
from generators.requests import TextToImage, WriteText
from storage import accounts
from storage.accounts import InForce
from tests.bot.commands.stage import Open, Stage, button
from tests.bot.jobs.world import words

FREE = {
    "ATELIER_PLANS_FREE_PIXELS_MAX": str(128 * 128), "ATELIER_PLANS_FREE_STEPS_MAX": "10",
    "ATELIER_PLANS_FREE_COUNT_MAX": "1", "ATELIER_PLANS_FREE_TOKENS_MAX": "64",
}  # fmt: skip
BIG = "a whale --size 256x128 --steps 30 -n 2"


@pytest.fixture
async def play(open_stage: Open) -> Stage:
    """Ann has a plan that allows more than the free one, which all others have."""
    made: Stage = await open_stage(**FREE)
    await made.world.real.run(accounts.set_plan, await made.world.person("ann"), InForce(plan="pro"))
    await made.give("ann", 1000)
    return made


async def anns(play: Stage, text: str = BIG, command: str = "imagine") -> Card:
    return await play.made(command, text, place="group")


async def bob_presses(play: Stage, action: Action, card: Card, **fields: Any) -> Reply:
    return await play.press(button(card, action), by="bob", place="group", **fields)


@pytest.mark.parametrize("action", [Action.AGAIN, Action.VARY])
async def test_a_pressed_job_is_fitted_to_the_plan_of_who_presses_and_its_card_says_so(
    play: Stage, action: Action
) -> None:
    card = await anns(play)
    reply = await bob_presses(play, action, card, locale="zh")
    assert "已按你的套餐调整" in reply.cards[0].status
    request = requests.decode((await play.world.job(reply.cards[0].job)).request)
    assert isinstance(request, TextToImage)
    assert request.width * request.height <= 128 * 128
    assert (request.width > request.height, request.steps, request.count) == (True, 10, 1)
    done = await play.ended(reply.cards[0].job)
    assert "已按你的套餐调整" in done.status


async def test_the_one_whose_plan_allows_it_gets_all_of_it(play: Stage) -> None:
    card = await anns(play)
    reply = await play.press(button(card, Action.AGAIN), place="group")
    assert "fitted" not in reply.cards[0].status
    request = requests.decode((await play.world.job(reply.cards[0].job)).request)
    assert isinstance(request, TextToImage)
    assert (request.width, request.height, request.steps, request.count) == (256, 128, 30, 2)


async def test_what_one_pays_for_is_what_one_gets(play: Stage) -> None:
    card = await anns(play)
    reply = await bob_presses(play, Action.AGAIN, card)
    again = await bob_presses(play, Action.AGAIN, await play.ended(reply.cards[0].job))
    assert "fitted" not in again.cards[0].status  # it was within his plan already
    mine, his = [(await play.world.job(each.job)).price for each in (card, reply.cards[0])]
    assert (mine, his) == (6, 1)
    await play.ended(again.cards[0].job)


async def test_upscale_edit_and_an_answer_in_words_are_refused_with_the_limit(play: Stage) -> None:
    card = await anns(play)
    assert "or your plan allows" in (await bob_presses(play, Action.UPSCALE, card)).text
    draft = (await bob_presses(play, Action.EDIT, card)).draft
    assert draft is not None
    edited = await play.say("imagine", draft, by="bob", place="group", origin=card.job)
    assert (edited.refused, edited.text.startswith("Your plan allows pictures of up to 16384 pixels")) == (
        True,
        True,
    )


async def test_an_answer_that_leaves_the_size_open_is_fitted_silently(play: Stage) -> None:
    card = await anns(play)
    reply = await play.say("imagine", "make it night", by="bob", place="group", origin=card.job)
    request = requests.decode((await play.world.job(reply.cards[0].job)).request)
    assert isinstance(request, TextToImage)
    assert request.width * request.height <= 128 * 128
    await play.ended(reply.cards[0].job)


async def test_a_text_is_as_long_as_the_plan_of_who_presses_allows(play: Stage) -> None:
    play.world.engine.script = words
    card = await anns(play, "a story --length 200", "write")
    reply = await bob_presses(play, Action.AGAIN, card)
    request = requests.decode((await play.world.job(reply.cards[0].job)).request)
    assert isinstance(request, WriteText)
    assert request.max_tokens == 64
    assert "at most 64 tokens" in reply.cards[0].status
    await play.ended(reply.cards[0].job)


@pytest.mark.parametrize("action", [Action.AGAIN, Action.VARY, Action.UPSCALE])
async def test_words_that_are_not_allowed_any_more_make_nothing_more(play: Stage, action: Action) -> None:
    card = await anns(play, "a whale")
    strict = play.but(config=msgspec.structs.replace(play.config, safety=Safety(blocked=("whale",))))
    reply = await strict.press(button(card, action), place="group")
    assert (reply.refused, "doesn't allow part of this prompt" in reply.text) == (True, True)
    assert (await strict.press(button(card, action), by="bob", place="group")).refused
    assert await play.credits("bob") == 0  # not even asked for


async def test_a_text_is_not_continued_with_words_that_are_not_allowed_any_more(play: Stage) -> None:
    play.world.engine.script = words
    card = await anns(play, "a story of a whale", "write")
    strict = play.but(config=msgspec.structs.replace(play.config, safety=Safety(blocked=("whale",))))
    for reply in (
        await strict.press(button(card, Action.AGAIN), by="bob", place="group"),
        await strict.say("write", "go on", by="bob", place="group", origin=card.job),
    ):
        assert (reply.refused, "doesn't allow part of this prompt" in reply.text) == (True, True)
