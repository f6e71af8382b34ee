"""`settings`: my own defaults, and what becomes of them when the configuration changes."""

from __future__ import annotations

from generators import requests
from generators.requests import TextToImage, WriteText
from storage import accounts
from tests.bot.commands.stage import Open, Stage
from tests.bot.jobs.world import words


async def picture_of(play: Stage, text: str = "an apple") -> TextToImage:
    request = requests.decode((await play.world.job((await play.made("imagine", text)).job)).request)
    assert isinstance(request, TextToImage)
    return request


async def test_defaults_fill_what_a_prompt_leaves_open(play: Stage) -> None:
    assert "`—`" in (await play.say("settings")).text
    assert "--steps 9 --seed 7" in (await play.say("settings", "--seed 7 --steps 9")).text
    assert (await picture_of(play)).steps == 9
    request = await picture_of(play, "an apple --steps 5")
    assert (request.steps, request.seed) == (5, 7)


async def test_a_change_keeps_the_others_and_reset_clears_all(play: Stage) -> None:
    await play.say("settings", "--seed 7 --ar 16:9")
    said = (await play.say("settings", "--ar 1:1")).text
    assert "--seed 7" in said
    assert "--ar 1:1" in said
    assert "--ar 16:9" not in said.partition("\n")[0]
    assert (await play.say("settings", "reset")).text == "Your defaults are cleared."
    assert "`—`" in (await play.say("settings")).text


async def test_what_is_no_option_is_refused_and_changes_nothing(play: Stage) -> None:
    await play.say("settings", "--seed 7")
    assert "Settings are options only" in (await play.say("settings", "a red apple")).text
    assert "Did you mean `--style`?" in (await play.say("settings", "--stile ink")).text
    assert "--seed 7" in (await play.say("settings")).text


async def test_defaults_for_pictures_do_not_disturb_texts(play: Stage) -> None:
    play.world.engine.script = words
    await play.say("settings", "--ar 16:9 --style ink --model tiny --no worms --tone merry")
    card = await play.made("write", "a story")
    request = requests.decode((await play.world.job(card.job)).request)
    assert isinstance(request, WriteText)
    assert request.model == "smol"
    assert "merry" in request.messages[0].content


async def test_defaults_that_are_gone_from_the_configuration_count_as_none(play: Stage) -> None:
    async def old_row(options: object) -> None:
        account = await play.world.person()
        await play.world.real.run(accounts.set_settings, account, {"options": options})

    for options in ("--style bygone", "--model bygone", "--bygone 3", "--steps nine", 5):
        await old_row(options)
        request = await picture_of(play)
        assert request.model == "tiny"
        assert request.prompt == "an apple"
        assert not (await play.say("settings")).refused
        assert not (await play.say("settings", "--seed 4")).refused


async def test_a_model_or_style_that_is_not_here_cannot_become_a_default(play: Stage) -> None:
    assert "Did you mean `--style ink`?" in (await play.say("settings", "--style inc")).text
    assert "There is no model `gpt`" in (await play.say("settings", "--model gpt")).text
    assert "`—`" in (await play.say("settings")).text


async def test_each_person_has_their_own(open_stage: Open) -> None:
    play = await open_stage()
    await play.say("settings", "--seed 7")
    assert "`—`" in (await play.say("settings", by="bob")).text
