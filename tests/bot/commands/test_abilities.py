"""What a model cannot do with a picture is known before it is queued: from its files, and only where they say it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bot.chat import Action
from bot.config import ModelEntry
from bot.jobs.abilities import Abilities
from bot.page import boot
from generators.requests import ImageToImage, Inpaint
from storage import jobs
from tests.bot.commands.stage import Open, Stage, button
from tests.bot.commands.test_imagine import png
from tests.bot.jobs.world import fails

WORDS_ONLY, WHOLE_ONLY, ANY, UNKNOWN = (
    f"{name}Pipeline" for name in ("AuraFlow", "FluxKontext", "StableDiffusionXL", "SomethingElse")
)


def folder(root: Path, pipeline: str) -> str:
    """As much of a model as the bot looks at."""
    made = root / pipeline
    made.mkdir()
    (made / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    return str(made)


def having(play: Stage, **sources: str) -> Stage:
    """The same stage with these models beside its own two; `closed` is for another plan."""
    models = play.config.models | {
        name: ModelEntry(
            name=name, kind="image", source=source, plans=("pro",) if name == "closed" else (), steps=4,
            width=64, height=64,
        )
        for name, source in sources.items()
    }  # fmt: skip
    config = msgspec.structs.replace(play.config, models=models)
    return play.but(config=config, abilities=Abilities(models))


async def test_a_picture_is_refused_at_once_with_the_models_that_can_start_from_one(
    play: Stage, tmp_path: Path
) -> None:
    stage = having(
        play, aura=folder(tmp_path, WORDS_ONLY), xl=folder(tmp_path, ANY), closed=str(tmp_path / ANY),
        odd=folder(tmp_path, UNKNOWN),
    )  # fmt: skip
    reply = await stage.say("imagine", "at night --model aura", picture=png())
    assert reply.refused
    assert reply.text == (
        "aura makes pictures from words only. Ask again without a picture, or choose a model that starts from one:"
        " `--model tiny`, `--model xl`."
    )
    chinese = await stage.say("imagine", "晚上 --model aura", picture=png(), locale="zh")
    assert "只能根据文字作画" in chinese.text
    assert "`--model xl`" in chinese.text
    assert await play.world.real.read(jobs.of_account, await play.world.person()) == []
    assert [each for each in (tmp_path / "blobs").rglob("*") if each.is_file()] == []
    assert not (await stage.say("imagine", "a fox --model aura")).refused


async def test_one_that_only_redraws_the_whole_refuses_a_part(play: Stage, tmp_path: Path) -> None:
    stage = having(play, context=folder(tmp_path, WHOLE_ONLY))
    part = await stage.say("imagine", "a hat --model context", picture=png(alpha=0))
    assert part.text == (
        "context can't redraw a part of a picture. Send it without transparent parts, or choose a model that can:"
        " `--model tiny`."
    )
    assert not (await stage.say("imagine", "a hat --model context", picture=png())).refused


async def test_where_no_model_can_words_are_the_way_out(open_stage: Open, tmp_path: Path) -> None:
    play = await open_stage(ATELIER_MODELS_TINY_SOURCE=folder(tmp_path, WORDS_ONLY))
    reply = await play.say("imagine", "at night", picture=png())
    assert reply.text.endswith("makes pictures from words only. Ask again without a picture.")


async def test_under_a_picture_is_no_button_that_would_be_refused(open_stage: Open, tmp_path: Path) -> None:
    play = await open_stage(ATELIER_MODELS_TINY_SOURCE=folder(tmp_path, WORDS_ONLY))
    card = await play.made("imagine", "an apple")
    actions = [each.action for each in card.buttons]
    assert actions == [Action.AGAIN, Action.DETAILS, Action.ORIGINAL, Action.DELETE]
    old = play.buttons.make(Action.VARY, await play.world.job(card.job), "en").id
    for reply in (await play.press(old), await play.say("imagine", "at night", origin=card.job)):
        assert (reply.refused, "from words only" in reply.text) == (True, True)
    play.world.engine.script = fails
    assert button(await play.made("imagine", "an apple"), Action.EDIT)  # there is no picture to start from


async def test_help_and_the_page_say_which_models_start_from_words_only(play: Stage, tmp_path: Path) -> None:
    stage = having(play, aura=folder(tmp_path, WORDS_ONLY), odd=folder(tmp_path, UNKNOWN))
    lines = {line.split("`")[1]: line for line in (await stage.say("help")).text.splitlines() if "`" in line}
    assert [name for name, line in lines.items() if "from words only" in line] == ["aura"]
    page = boot(stage.context.config, (), "en", stage.context.abilities)
    assert [model.name for model in page.models if not model.from_picture] == ["aura"]


async def test_of_what_is_not_here_or_not_known_nothing_is_said_until_it_is(
    play: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    stage = having(play, hub="owner/name", odd=folder(tmp_path, UNKNOWN), homeless="~nobody-here/model")
    for name in ("hub", "odd", "homeless"):
        assert not stage.context.abilities.lacks(name, ImageToImage)
        assert not stage.context.abilities.has(name, Inpaint)
        assert not (await stage.say("imagine", f"at night --model {name}", picture=png())).refused
    home = tmp_path / "hub/models--owner--name"
    for part in ("refs", "snapshots"):
        (home / part).mkdir(parents=True)
    (home / "refs/main").write_text(WORDS_ONLY)
    folder(home / "snapshots", WORDS_ONLY)
    assert (await stage.say("imagine", "at night --model hub", picture=png())).refused
