"""From prompts to requests: what the model's entry fills in, what is refused, and what the person is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import LOCALES, Locale
from bot.commands.fitting import choose_model, fit
from bot.commands.options import KINDS
from bot.commands.prompt import parse
from bot.commands.refused import PromptError, render
from bot.commands.writing import instructions, write
from bot.config import ModelEntry, Plan, Style
from bot.settings.defaults import MODELS
from generators.requests import ImageToImage, LoraUse, Message, TextToImage, WriteText

SDXL = ModelEntry(
    name="sdxl",
    kind="image",
    source="x/y",
    title="SDXL",
    width=1024,
    height=1024,
    multiple=64,
    pixels_max=1_500_000,
    steps=30,
    steps_max=50,
    guidance=6.0,
    scheduler="euler",
    strength=0.55,
    loras={"ink": "x/ink"},
)
BARE = ModelEntry(name="bare", kind="image", source="x/z")
SMOL = ModelEntry(name="smol", kind="text", source="x/t", max_tokens=300, max_tokens_max=1000)
PRO = ModelEntry(name="gold", kind="image", source="x/g", plans=("pro",))
ALL = {model.name: model for model in (SDXL, BARE, SMOL, PRO)}
PLAN = Plan(count_max=4, pixels_max=2_000_000, steps_max=60)
SMALL_PLAN = Plan(count_max=1, pixels_max=600_000, steps_max=20, tokens_max=200)
STYLES = {
    "anime": Style(prompt="anime of {prompt}, vivid", negative="photo"),
    "plain": Style(prompt="{prompt}"),
}


def fitted(
    text: str, *, model: ModelEntry = SDXL, plan: Plan = PLAN, source: str = "", **more: tuple[int, int]
) -> TextToImage:
    return fit(parse(text), model, plan, seed=7, styles=STYLES, source=source, **more)


def written(text: str, *, plan: Plan = PLAN, locale: Locale = "en") -> WriteText:
    return write(parse(text), SMOL, plan, seed=7, locale=locale)


# Pictures


def test_what_is_left_open_comes_from_the_models_entry() -> None:
    assert fitted("a cat") == TextToImage(
        model="sdxl",
        prompt="a cat",
        width=1024,
        height=1024,
        steps=30,
        guidance=6.0,
        seed=7,
        scheduler="euler",
    )


def test_what_is_asked_for_is_done() -> None:
    asked = fitted(
        "a cat --size 768x512 --steps 12 --cfg 0 --seed 0 -n 2 --scheduler ddim --lora ink:0.5 --no dogs"
    )
    assert asked == TextToImage(
        model="sdxl",
        prompt="a cat",
        negative="dogs",
        width=768,
        height=512,
        steps=12,
        guidance=0.0,
        seed=0,
        count=2,
        scheduler="ddim",
        loras=(LoraUse(name="ink", weight=0.5),),
    )


def test_a_model_that_says_nothing_of_itself_gets_sensible_sizes() -> None:
    made = fitted("a cat", model=BARE)
    assert (made.width, made.height, made.steps) == (1024, 1024, 28)


def test_what_is_left_open_fits_a_small_plan_without_a_word() -> None:
    made = fitted("a cat", plan=SMALL_PLAN)
    assert made.width == made.height
    assert (made.width * made.height <= 600_000, made.steps) == (True, 20)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("--ar 1:1", (1024, 1024)),
        ("--ar 16:9", (1344, 768)),
        ("--ar 9:16", (768, 1344)),
        ("--ar 4:1", (2048, 512)),
        ("--size 500x500", (512, 512)),
        ("--size 1220x1220", (1216, 1216)),
    ],
)
def test_shapes_keep_the_models_area_and_its_grid(text: str, size: tuple[int, int]) -> None:
    made = fitted(f"a cat {text}")
    assert (made.width, made.height) == size


def test_a_picture_gives_its_shape() -> None:
    made = fitted("a cat", source="blob", source_size=(3000, 2000))
    assert (made.width, made.height) == (1280, 832)
    wild = fitted("a cat", source="blob", source_size=(10_000, 1))
    assert (wild.width, wild.height) == (2048, 512)
    assert fitted("a cat --ar 1:1", source="blob", source_size=(3000, 2000)).width == 1024


def test_a_picture_makes_it_image_to_image() -> None:
    made = fitted("a cat", source="blob")
    assert isinstance(made, ImageToImage)
    assert (made.source, made.strength, made.prompt) == ("blob", 0.55, "a cat")
    kept = fitted("a cat --strength 0.2", source="blob")
    assert isinstance(kept, ImageToImage)
    assert kept.strength == 0.2


def test_a_style_puts_its_words_around_and_adds_what_to_leave_out() -> None:
    made = fitted("a {prompt} cat --style anime --no dogs")
    assert (made.prompt, made.negative) == ("anime of a {prompt} cat, vivid", "dogs, photo")
    assert fitted("a cat --style plain").negative == ""


@pytest.mark.parametrize(
    ("text", "code", "suggestion"),
    [
        ("--style anmie", "prompt-unknown-style", "--style anime"),
        ("--style zzz", "prompt-unknown-style", ""),
        ("--scheduler eulr", "prompt-unknown-scheduler", "--scheduler euler"),
        ("--lora inc", "prompt-unknown-lora", "--lora ink"),
        ("--steps 51", "prompt-model-limit", ""),
        ("--count 5", "prompt-model-limit", ""),
        ("--size 1536x1536", "prompt-model-pixels", ""),
        ("--strength 0.5", "prompt-strength-alone", ""),
        ("--kind story", "prompt-not-for-pictures", ""),
        ("--tone dry", "prompt-not-for-pictures", ""),
        ("x" * 4000, "prompt-model-chars", ""),
    ],
)
def test_what_the_model_cannot_is_refused_with_its_limit(text: str, code: str, suggestion: str) -> None:
    with pytest.raises(PromptError) as raised:
        fitted(f"a cat {text}")
    assert (raised.value.code, raised.value.suggestion) == (code, suggestion)
    assert all(render(raised.value, locale) for locale in LOCALES)


@pytest.mark.parametrize("text", ["--steps 21", "--count 2", "--size 1024x1024"])
def test_what_the_plan_does_not_allow_is_refused_with_the_way_to_more(text: str) -> None:
    with pytest.raises(PromptError) as raised:
        fitted(f"a cat {text}", plan=SMALL_PLAN)
    assert "plans that allow more" in render(raised.value, "en")
    assert "套餐" in render(raised.value, "zh")


def test_without_styles_or_loras_the_option_is_to_be_left_out() -> None:
    with pytest.raises(PromptError, match="prompt-no-styles") as raised:
        fit(parse("a --style x"), SDXL, PLAN, seed=1, styles={})
    assert render(raised.value, "en")
    with pytest.raises(PromptError, match="prompt-no-loras") as raised:
        fitted("a --lora x", model=BARE)
    assert render(raised.value, "en")


sizes = st.tuples(st.integers(64, 4096), st.integers(64, 4096)).map(
    lambda size: f"--size {size[0]}x{size[1]}"
)
aspects = st.tuples(st.integers(1, 100), st.integers(1, 100)).map(lambda ratio: f"--ar {ratio[0]}:{ratio[1]}")


@given(
    st.one_of(st.just(""), sizes, aspects), st.sampled_from([8, 16, 32, 64]), st.integers(65_536, 3_000_000)
)
def test_sizes_are_on_the_grid_and_within_both_limits(text: str, multiple: int, pixels_max: int) -> None:
    model = ModelEntry(name="m", kind="image", source="x", width=1024, height=1024, multiple=multiple)
    plan = Plan(pixels_max=pixels_max)
    try:
        made = fitted(f"a {text}", model=model, plan=plan)
    except PromptError:
        return
    assert (made.width % multiple, made.height % multiple) == (0, 0)
    assert 0 < made.width * made.height <= min(pixels_max, model.pixels_max)


def test_the_starter_model_draws_other_shapes_on_its_grid() -> None:
    entry: object = MODELS["tiny"]
    assert isinstance(entry, dict)
    tiny = ModelEntry(**{**entry, "name": "tiny"})
    made = fitted("a red apple --ar 16:9", model=tiny)
    assert (made.width, made.height) == (160, 96)


# Models


def test_the_model_is_the_one_named_or_the_default() -> None:
    assert choose_model("", ALL, kind="image", plan="free", default="sdxl") is SDXL
    assert choose_model("bare", ALL, kind="image", plan="free", default="sdxl") is BARE
    assert choose_model("gold", ALL, kind="image", plan="pro", default="sdxl") is PRO


@pytest.mark.parametrize(
    ("name", "code", "suggestion"),
    [
        ("sdlx", "prompt-unknown-model", "--model sdxl"),
        ("zzz", "prompt-unknown-model", ""),
        ("smol", "prompt-other-kind", ""),
        ("gold", "prompt-model-plan", ""),
    ],
)
def test_a_model_that_cannot_be_had_is_refused_with_those_that_can(
    name: str, code: str, suggestion: str
) -> None:
    with pytest.raises(PromptError) as raised:
        choose_model(name, ALL, kind="image", plan="free", default="sdxl")
    assert (raised.value.code, raised.value.suggestion) == (code, suggestion)
    assert "sdxl, bare" in render(raised.value, "en")


# Texts


def test_a_text_has_instructions_and_the_persons_words() -> None:
    made = written("the sea --kind story --tone warm --length short --no sharks --temperature 0 --seed 3")
    system, user = made.messages
    assert user == Message(role="user", content="the sea")
    assert all(word in system.content for word in ("story", "tone is warm", "120 words", "sharks", "English"))
    assert (made.max_tokens, made.temperature, made.seed) == (208, 0.0, 3)


def test_a_text_without_options_goes_as_long_as_the_model_says() -> None:
    assert (written("the sea").max_tokens, written("the sea").seed) == (300, 7)
    assert written("the sea", plan=SMALL_PLAN).max_tokens == 200


def test_what_was_said_before_stands_between_instructions_and_words() -> None:
    before = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    made = write(parse("shorter"), SMOL, PLAN, seed=1, locale="en", history=before)
    assert [message.role for message in made.messages] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_own_instructions_in_the_persons_language(kind: str, locale: Locale) -> None:
    said = instructions(parse(f"x --kind {kind}"), locale)
    others = [instructions(parse(f"x --kind {other}"), locale) for other in KINDS if other != kind]
    assert said not in others
    assert ("简体中文" in said) == (locale == "zh")


def test_a_number_of_words_is_done_or_refused() -> None:
    assert written("x --length 500").max_tokens == 816
    with pytest.raises(PromptError, match="prompt-model-limit"):
        written("x --length 700")
    with pytest.raises(PromptError, match="prompt-plan-limit"):
        written("x --length 200", plan=SMALL_PLAN)


@pytest.mark.parametrize(
    "option", ["--ar 1:1", "--size 64x64", "--steps 2", "--cfg 1", "--style anime", "-n 2", "--lora x"]
)
def test_options_of_pictures_mean_nothing_for_texts(option: str) -> None:
    with pytest.raises(PromptError, match="prompt-not-for-texts"):
        written(f"x {option}")
