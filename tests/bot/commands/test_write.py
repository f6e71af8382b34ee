"""`write`: words become a text; answering a text goes on from it."""

from __future__ import annotations

from generators import requests
from generators.requests import WriteText
from tests.bot.commands.stage import Stage
from tests.bot.jobs.world import words


async def request_of(play: Stage, job: int) -> WriteText:
    found = requests.decode((await play.world.job(job)).request)
    assert isinstance(found, WriteText)
    return found


async def test_words_become_a_labelled_text(play: Stage) -> None:
    play.world.engine.script = words
    card = await play.made("write", "a story --kind story --length short --tone merry")
    assert (card.kind, card.text) == ("text", "Hello you")
    assert card.label == "Made with AI · SmolLM2 135M"
    request = await request_of(play, card.job)
    assert request.messages[-1].content == "a story"
    assert "storyteller" in request.messages[0].content
    assert "merry" in request.messages[0].content


async def test_answering_a_text_goes_on_from_it(play: Stage) -> None:
    play.world.engine.script = words
    first = await play.made("write", "a story --length 40")
    second = await play.made("write", "and then?", origin=first.job)
    said = [(each.role, each.content) for each in (await request_of(play, second.job)).messages[1:]]
    assert said == [("user", "a story"), ("assistant", "Hello you"), ("user", "and then?")]


async def test_a_text_costs_by_its_length(play: Stage) -> None:
    play.world.engine.script = words
    short = await play.world.job((await play.made("write", "a story --length 40")).job)
    long = await play.world.job((await play.made("write", "a story --length 400")).job)
    assert short.price < long.price


async def test_what_is_for_pictures_is_said_to_be(play: Stage) -> None:
    assert "`--ar` is for pictures" in (await play.say("write", "a story --ar 1:1")).text
    assert "can't read pictures" in (await play.say("write", "a story", picture=b"x")).text
    assert "The model `tiny` makes something else" in (await play.say("write", "a story --model tiny")).text


async def test_an_empty_prompt_gets_an_example(play: Stage) -> None:
    reply = await play.say("write", "")
    assert reply.refused
    assert "write a short story about a brave mushroom" in reply.text


async def test_what_was_asked_in_private_stays_there(play: Stage) -> None:
    play.world.engine.script = words
    first = await play.made("write", "a secret --private", place="group")
    assert (await play.say("write", "go on", origin=first.job, by="bob", place="group")).refused
