"""`imagine`: words, and perhaps a picture, become pictures."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from bot.chat import Action, Audience, Card
from generators import requests
from generators.requests import ImageToImage, Inpaint, Request, TextToImage
from tests.bot.commands.stage import Open, Stage, button
from tests.bot.jobs.world import now


async def request_of(play: Stage, card: Card) -> Request:
    return requests.decode((await play.world.job(card.job)).request)


def png(width: int = 64, height: int = 64, *, alpha: int | None = None, kind: str = "PNG") -> bytes:
    """Red; with an `alpha`, its middle has that one."""
    picture = Image.new("RGB" if alpha is None else "RGBA", (width, height), "red")
    if alpha is not None:
        picture.paste((0, 0, 255, alpha), (width // 4, height // 4, width // 2, height // 2))
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


async def stored(play: Stage) -> set[str]:
    return {key async for keys in play.world.blobs.older_than(now() + timedelta(days=1)) for key in keys}


async def test_words_become_a_labelled_picture_with_buttons(play: Stage) -> None:
    reply = await play.say("imagine", "a red apple")
    assert [card.state for card in reply.cards] == ["waiting"]
    assert [each.action for each in reply.cards[0].buttons] == [Action.CANCEL]
    card = await play.ended(reply.cards[0].job)
    assert (card.state, card.prompt, len(card.pictures)) == ("done", "a red apple", 1)
    assert card.label == "Made with AI · Tiny Emoji"
    assert Action.UPSCALE in [each.action for each in card.buttons]
    assert await play.credits() == 19


async def test_the_model_says_what_the_prompt_leaves_open(play: Stage) -> None:
    request = await request_of(play, await play.made("imagine", "a red apple"))
    assert isinstance(request, TextToImage)
    assert (request.width, request.height, request.steps, request.guidance) == (128, 128, 20, 4.0)
    assert request.seed >= 1000  # a fresh one


async def test_options_and_styles_reach_the_model_and_not_its_words(play: Stage) -> None:
    request = await request_of(
        play, await play.made("imagine", "an apple —ar 2：1 --style ink --no worms --seed 7 -n 2")
    )
    assert isinstance(request, TextToImage)
    assert request.prompt.startswith("traditional Chinese ink wash painting of an apple,")
    assert "worms" in request.negative
    assert (request.seed, request.count) == (7, 2)
    assert request.width > request.height


async def test_a_picture_that_is_sent_or_answered_is_the_start(play: Stage) -> None:
    sent = await play.made("imagine", "an apple", picture=png(100, 50))
    request = await request_of(play, sent)
    assert isinstance(request, ImageToImage)
    assert request.source.startswith("uploads/")
    assert request.width > request.height
    answered = await request_of(play, await play.made("imagine", "at night", origin=sent.job))
    assert isinstance(answered, ImageToImage)
    assert answered.source == f"jobs/{sent.job}/1/0.png"


async def test_an_event_that_comes_again_after_its_account_was_joined_makes_no_second_job(
    play: Stage,
) -> None:
    await play.say("balance", by="bob")  # the older account: it stays
    first = await play.made("imagine", "an apple", picture=png(), event="same")
    kept = await stored(play)
    code = (await play.say("link")).text.split("link ")[1].split("`")[0]
    assert not (await play.say("link", code, by="bob")).refused
    again = await play.say("imagine", "an apple", picture=png(), event="same")
    assert [card.job for card in again.cards] == [first.job]
    assert await stored(play) == kept  # the picture is not kept twice


async def test_of_a_picture_with_a_transparent_part_only_that_is_drawn(play: Stage) -> None:
    card = await play.made("imagine", "an apple", picture=png(100, 50, alpha=0))
    request = await request_of(play, card)
    assert isinstance(request, Inpaint)
    assert request.strength == 1.0  # nothing is there to keep
    details = await play.press(button(card, Action.DETAILS))
    assert "only the part that was transparent" in details.text
    gently = await request_of(
        play, await play.made("imagine", "an apple --strength 0.4", picture=png(alpha=60, kind="WEBP"))
    )
    assert isinstance(gently, Inpaint)
    assert gently.strength == 0.4


async def test_an_alpha_channel_alone_is_no_hole(play: Stage) -> None:
    for alpha in (255, 200):
        request = await request_of(play, await play.made("imagine", "an apple", picture=png(alpha=alpha)))
        assert type(request) is ImageToImage


async def test_drawing_a_part_costs_and_is_refused_like_all_else(play: Stage) -> None:
    assert (await play.say("imagine", "a naked child", picture=png(alpha=0))).refused
    card = await play.made("imagine", "an apple --steps 10 --strength 0.5", picture=png(alpha=0))
    job = await play.world.job(card.job)
    assert job.price == 1
    part = await play.made("imagine", "an apple --steps 30 -n 2", picture=png(alpha=0))
    whole = await play.made("imagine", "an apple --steps 30 -n 2")
    assert (await play.world.job(part.job)).price == (await play.world.job(whole.job)).price


async def test_help_says_how_a_part_is_drawn_anew(play: Stage) -> None:
    assert "transparent" in (await play.say("help")).text
    assert "透明" in (await play.say("help", locale="zh")).text


async def test_nobody_can_answer_anothers_result_in_private(play: Stage) -> None:
    card = await play.made("imagine", "a red apple")
    reply = await play.say("imagine", "at night", origin=card.job, by="bob")
    assert (reply.refused, reply.text) == (True, "That belongs to somebody else.")
    assert not (await play.say("imagine", "at night", origin=card.job, by="bob", place="group")).refused


async def test_a_private_result_does_not_exist_for_others(play: Stage) -> None:
    card = await play.made("imagine", "a secret apple --private", place="group")
    assert card.private
    reply = await play.say("imagine", "at night", origin=card.job, by="bob", place="group")
    assert reply.refused
    request = await request_of(play, card)
    assert isinstance(request, TextToImage)
    assert not request.reveal_prompt  # nor do its words travel inside the file


async def test_an_audience_of_one_is_private_as_well(play: Stage) -> None:
    card = await play.made("imagine", "an apple", audience=Audience.PRIVATE)
    assert card.private


async def test_an_empty_prompt_gets_examples_to_tap(play: Stage) -> None:
    reply = await play.say("imagine", " \n ")
    assert reply.refused
    assert "a red apple" in reply.text
    assert [each.action for each in reply.buttons] == [Action.ASK] * 3
    tapped = await play.press(reply.buttons[1].id)
    assert tapped.cards[0].prompt == "a rocket"


async def test_what_the_policy_forbids_is_refused_before_anything_is_stored(play: Stage) -> None:
    reply = await play.say("imagine", "a nude portrait")
    assert reply.refused
    assert "nothing was charged" in reply.text
    assert (await play.say("jobs")).cards == ()


async def test_limits_are_said_with_the_way_out(open_stage: Open) -> None:
    play = await open_stage(ATELIER_PLANS_FREE_PIXELS_MAX="16384")
    assert "`--steps` goes up to 30 on your plan" in (await play.say("imagine", "x --steps 40")).text
    assert "up to 2 on your plan" in (await play.say("imagine", "x -n 4")).text
    assert (
        "Your plan allows pictures of up to 16384 pixels"
        in (await play.say("imagine", "x --size 256x256")).text
    )
    assert await play.credits() == 0  # not even the allowance was needed


async def test_credits_that_do_not_suffice_are_said_with_the_hour(open_stage: Open) -> None:
    play = await open_stage(ATELIER_PLANS_FREE_CREDITS_DAY="2")
    await play.made("imagine", "a red apple")
    reply = await play.say("imagine", "a red apple")
    assert reply.refused
    assert "This costs 1 credit and you have 0." in reply.text
    assert "00:00 UTC" in reply.text


async def test_chinese_is_answered_in_chinese(play: Stage) -> None:
    card = await play.made("imagine", "一个红苹果", locale="zh")
    assert "AI" in card.label
    assert [each.label for each in card.buttons if each.action is Action.DELETE] == ["删除"]
    assert button(card, Action.AGAIN)


@pytest.mark.parametrize(
    ("width", "height", "english", "chinese"),
    [
        (7, 100, "8 pixels are the least for each side.", "每边至少 8 像素。"),
        (100, 60, "5,999 are the most, width times height.", "宽乘高最多 5,999 像素。"),
    ],
)
async def test_a_picture_of_too_few_or_too_many_pixels_is_answered_with_the_limit(
    open_stage: Open, width: int, height: int, english: str, chinese: str
) -> None:
    play = await open_stage(ATELIER_WEB_UPLOAD_PIXELS_MAX="5999")
    sent = png(width, height)
    assert english in (await play.say("imagine", "an apple", picture=sent)).text
    assert chinese in (await play.say("imagine", "an apple", picture=sent, locale="zh")).text


async def test_a_picture_that_came_with_a_refused_prompt_is_not_kept(play: Stage, tmp_path: Path) -> None:
    assert (await play.say("imagine", "a naked child", picture=png(100, 50))).refused
    assert [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()] == []
