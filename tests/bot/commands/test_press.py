"""Buttons: who may press which, what it makes, and what it costs."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest

from bot.buttons import Buttons
from bot.chat import Action
from bot.config import Config
from bot.signing import Signer
from generators import requests
from generators.messages import Accepted, Event, Result
from generators.requests import Artifact, ImageToImage, Request, TextToImage
from tests.bot.commands.stage import Stage, button
from tests.bot.jobs.world import KEY, PNG, fails, hangs, now, words

NEW = (Action.AGAIN, Action.VARY, Action.UPSCALE)


def large(job: str, request: Request) -> list[Event | None]:
    made = Artifact(media_type="image/png", data=PNG, width=256, height=256, seed=1)
    return [Accepted(job=job), Result(job=job, artifacts=(made,), device_seconds=0.2)]


async def request_of(play: Stage, job: int) -> TextToImage:
    found = requests.decode((await play.world.job(job)).request)
    assert isinstance(found, TextToImage)
    return found


async def test_again_makes_the_same_with_another_seed_in_answer_to_the_first(play: Stage) -> None:
    card = await play.made("imagine", "an apple --seed 7 --steps 9")
    reply = await play.press(button(card, Action.AGAIN))
    assert reply.cards[0].reply_to == card.job
    first, second = await request_of(play, card.job), await request_of(play, reply.cards[0].job)
    assert (second.prompt, second.steps) == (first.prompt, first.steps)
    assert second.seed != first.seed


async def test_vary_and_upscale_start_from_the_picture(play: Stage) -> None:
    card = await play.made("imagine", "an apple -n 2")
    varied = await request_of(play, (await play.press(button(card, Action.VARY))).cards[0].job)
    assert isinstance(varied, ImageToImage)
    upscaled = await request_of(play, (await play.press(button(card, Action.UPSCALE))).cards[0].job)
    assert isinstance(upscaled, ImageToImage)
    assert (upscaled.width, upscaled.height, upscaled.count) == (256, 256, 1)
    assert upscaled.source == varied.source == f"jobs/{card.job}/1/0.png"


async def test_what_is_as_large_as_it_gets_says_so(play: Stage) -> None:
    play.world.engine.script = large
    card = await play.made("imagine", "an apple --size 256x256")
    reply = await play.press(button(card, Action.UPSCALE))
    assert (reply.refused, "512 × 512 is more than" in reply.text) == (True, True)


async def test_edit_fills_the_box_and_answers_the_result(play: Stage) -> None:
    card = await play.made("imagine", 'an "old" apple --ar 1:1')
    reply = await play.press(button(card, Action.EDIT))
    assert (reply.draft_command, reply.draft_origin) == ("imagine", card.job)
    assert reply.draft is not None
    assert not (await play.say("imagine", reply.draft)).refused


async def test_details_and_original_cost_nothing(play: Stage) -> None:
    card = await play.made("imagine", "an apple --seed 7")
    details = await play.press(button(card, Action.DETAILS))
    assert "seed 7" in details.text
    assert "1 of 1 credits charged" in details.text
    assert details.only_for_requester
    original = await play.press(button(card, Action.ORIGINAL))
    assert original.files == (card.pictures[0].artifact,)
    media = await play.service.media(original.files[0])
    assert media is not None
    assert media.name == f"atelier-{card.job}-1.png"
    assert await play.credits() == 19


async def test_delete_takes_the_files_too_and_every_later_button_says_so(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    reply = await play.press(button(card, Action.DELETE))
    assert reply.gone == card.job
    assert await play.service.media(card.pictures[0].artifact) is None
    for each in card.buttons:
        late = await play.press(each.id)
        assert (late.refused, late.text) == (True, "That was deleted, so there is nothing to work with.")
    assert await play.credits() == 19


async def test_deleting_what_runs_stops_it_and_gives_the_rest_back(play: Stage) -> None:
    play.world.engine.script = hangs
    reply = await play.say("imagine", "an apple --size 256x256")
    waiting = await play.say("imagine", "a pear --size 256x256")
    for job in (waiting.cards[0].job, reply.cards[0].job):
        await play.press(play.buttons.make(Action.DELETE, await play.world.job(job), "en").id)
    async with asyncio.timeout(10):
        while not await play.world.delivered(reply.cards[0].job):
            await asyncio.sleep(0.01)
    assert await play.credits() >= 18
    assert play.world.chat.delivered == []  # nobody is told of what they deleted


async def test_cancel_twice_says_that_it_is_over(play: Stage) -> None:
    play.world.engine.script = hangs
    await play.say("imagine", "an apple")
    second = await play.say("imagine", "a pear")
    cancel = button(second.cards[0], Action.CANCEL)
    assert (await play.press(cancel)).cards[0].state == "cancelled"
    again = await play.press(cancel)
    assert (again.refused, again.text) == (True, "That is over already.")
    assert await play.credits() == 19


async def test_a_button_of_someone_elses(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    for each in card.buttons:
        reply = await play.press(each.id, by="bob")
        assert (reply.refused, reply.text) == (True, "That belongs to somebody else."), each.label
    assert await play.credits("bob") == 0


async def test_in_a_group_whoever_presses_pays(play: Stage) -> None:
    card = await play.made("imagine", "an apple", place="group")
    for action in NEW:
        reply = await play.press(button(card, action), by=f"bob-{action}", place="group")
        await play.ended(reply.cards[0].job)
        assert await play.credits(f"bob-{action}") < 20
    assert await play.credits() == 19
    reply = await play.press(button(card, Action.DELETE), by="bob", place="group")
    assert reply.text == "That belongs to somebody else."


async def test_the_same_press_twice_makes_one_job(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    replies = [await play.press(button(card, Action.AGAIN), event="same") for _ in range(3)]
    assert len({reply.cards[0].job for reply in replies}) == 1
    assert await play.credits() == 18


@pytest.mark.parametrize(
    "forged", ["", "x", "ag-1", "ag-1.zzzzzz.AAAAAAAAAAAAAAAA", "..", "ag-1..", "�", "💥.💥.💥"]
)
async def test_a_forged_button_does_nothing(play: Stage, forged: str) -> None:
    await play.made("imagine", "an apple")
    reply = await play.press(forged)
    assert (reply.refused, "was not made by me" in reply.text) == (True, True)


async def test_an_altered_foreign_or_old_button_does_nothing(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    job = await play.world.job(card.job)
    good = button(card, Action.AGAIN)
    foreign = Buttons(Signer(b"z" * 32), lifetime_seconds=3600).make(Action.AGAIN, job, "en").id
    old = Buttons(Signer(KEY), lifetime_seconds=-1).make(Action.AGAIN, job, "en").id
    other_purpose = Signer(KEY).sign("account", f"ag-{card.job}", expires=int(now().timestamp()) + 60)
    for each in (
        good.replace("ag", "dl", 1),
        good.replace(f"-{card.job}.", "-2.", 1),
        foreign,
        old,
        other_purpose,
    ):
        assert "was not made by me" in (await play.press(each)).text
    assert not (await play.press(good)).refused


async def test_buttons_of_a_failed_job_try_again_and_those_for_pictures_say_no(play: Stage) -> None:
    play.world.engine.script = fails("bad_output")
    card = await play.made("imagine", "an apple")
    assert [each.action for each in card.buttons] == [Action.AGAIN, Action.EDIT, Action.DELETE]
    job = await play.world.job(card.job)
    for action in (Action.VARY, Action.UPSCALE):
        reply = await play.press(play.buttons.make(action, job, "en").id)
        assert reply.text == "This button doesn't work for this kind of result."
    assert not (await play.press(button(card, Action.AGAIN))).refused
    assert (await play.press(button(card, Action.EDIT))).draft_origin is None


async def test_a_text_has_its_own_buttons(play: Stage) -> None:
    play.world.engine.script = words
    card = await play.made("write", "a story")
    assert Action.VARY not in [each.action for each in card.buttons]
    assert (await play.press(button(card, Action.EDIT))).draft_command == "write"
    assert "tokens" in (await play.press(button(card, Action.DETAILS))).text
    again = await play.press(button(card, Action.AGAIN))
    assert (await play.ended(again.cards[0].job)).text == "Hello you"
    file = await play.service.media((await play.press(button(card, Action.ORIGINAL))).files[0])
    assert file is not None
    assert file.data.decode() == "Hello you\n\nMade with AI · SmolLM2 135M\n"


async def test_buttons_of_a_model_that_is_gone_say_so(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    gone = play.but(config=_without(play, "tiny"))
    for action in (Action.AGAIN, Action.VARY):
        reply = await gone.press(button(card, action))
        assert (reply.refused, "There is no model named “tiny” here any more" in reply.text) == (True, True)
    assert (await gone.press(button(card, Action.UPSCALE))).refused
    assert "**Model:**" in (await gone.press(button(card, Action.DETAILS))).text
    assert (await gone.press(button(card, Action.ORIGINAL))).files


def _without(play: Stage, model: str) -> Config:
    models = {name: entry for name, entry in play.config.models.items() if name != model}
    return msgspec.structs.replace(play.config, models=models)


async def test_a_button_lives_as_long_as_the_configuration_says(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    later = play.but(clock=lambda: now() + timedelta(seconds=3601))
    assert "too old" in (await later.press(button(card, Action.DETAILS))).text
