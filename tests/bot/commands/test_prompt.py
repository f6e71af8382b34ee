"""The prompt language: what people may write, what it means, and what they are told when it means nothing."""

from __future__ import annotations

import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat import LOCALES, Locale
from bot.commands.options import KINDS, NAMED
from bot.commands.prompt import CHARS_MAX, Prompt, clean, format, parse
from bot.commands.refused import PromptError, excerpt, render


def refusal(text: str) -> PromptError:
    with pytest.raises(PromptError) as raised:
        parse(text)
    return raised.value


# Options


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("--ar 16:9", {"aspect": (16, 9)}),
        ("--aspect 16:9", {"aspect": (16, 9)}),
        ("--size 768x512", {"size": (768, 512)}),
        ("--size 768*512", {"size": (768, 512)}),
        ("--steps 20", {"steps": 20}),
        ("--cfg 7.5", {"guidance": 7.5}),
        ("--cfg .5", {"guidance": 0.5}),
        ("--seed 42", {"seed": 42}),
        ("--seed 4294967295", {"seed": 2**32 - 1}),
        ("--style anime", {"style": "anime"}),
        ('--style "anime"', {"style": "anime"}),
        ("--style “anime”", {"style": "anime"}),
        ("--style 「anime」", {"style": "anime"}),
        ("--model Flux-Dev", {"model": "flux-dev"}),
        ("--count 2", {"count": 2}),
        ("-n 2", {"count": 2}),
        ("-n=2", {"count": 2}),
        ("--n 2", {"count": 2}),
        ("--private", {"private": True}),
        ("--private=no", {}),
        ("--strength 0.4", {"strength": 0.4}),
        ("--scheduler euler", {"scheduler": "euler"}),
        ("--lora ink:0.8 --lora glow", {"loras": (("ink", 0.8), ("glow", 1.0))}),
        ("--kind story --length short", {"kind": "story", "length": "short"}),
        ("--length 300", {"length": 300}),
        ('--tone "dry and short"', {"tone": "dry and short"}),
        ("--temperature 0.9", {"temperature": 0.9}),
        ("--ar=16:9", {"aspect": (16, 9)}),
        ("--ar = 16:9", {"aspect": (16, 9)}),
        ("--ar:16:9", {"aspect": (16, 9)}),
        ("--ar16:9", {"aspect": (16, 9)}),
        ("--AR 16:9", {"aspect": (16, 9)}),
        ("--no blurry, text", {"negative": "blurry, text"}),
        ("--no blurry --no text", {"negative": "blurry, text"}),
        ("--no blurry, --no text", {"negative": "blurry, text"}),
        ("--no blurry, text --seed 4", {"negative": "blurry, text", "seed": 4}),
        ("--seed 4 --seed 4", {"seed": 4}),
    ],
)
def test_an_option_fills_its_field(text: str, fields: dict[str, Any]) -> None:
    assert parse(f"a cat {text}") == Prompt(text="a cat", **fields)


@pytest.mark.parametrize(
    ("text", "words", "fields"),
    [
        ("—ar 16：9 a cat", "a cat", {"aspect": (16, 9)}),
        ("a cat ――seed 42", "a cat", {"seed": 42}),
        ("a cat –n 2", "a cat", {"count": 2}),
        ("a cat —n 2", "a cat", {"count": 2}),
        ("a cat －－size 768×512", "a cat", {"size": (768, 512)}),
        ("a cat ——size　７６８ｘ５１２", "a cat", {"size": (768, 512)}),
        ("a cat --ｓｅｅｄ＝４２", "a cat", {"seed": 42}),
        ("a cat −−steps 20", "a cat", {"steps": 20}),
        ("a cat ‒‒cfg ７．５", "a cat", {"guidance": 7.5}),
        ("一只猫——ar 16：9", "一只猫", {"aspect": (16, 9)}),
        ("一只猫，——ar 16：9，在树上", "一只猫，在树上", {"aspect": (16, 9)}),
        ("一只猫 ——no 文字，水印", "一只猫", {"negative": "文字，水印"}),
        ("一只猫--private", "一只猫", {"private": True}),
        ("--private一只猫", "一只猫", {"private": True}),
        ("a cat — —seed 4", "a cat —", {"seed": 4}),
        ("a cat --seed\u200b 4", "a cat", {"seed": 4}),
    ],
)
def test_what_phones_and_chinese_keyboards_make_of_options_is_understood(
    text: str, words: str, fields: dict[str, Any]
) -> None:
    assert parse(text) == Prompt(text=words, **fields)


@pytest.mark.parametrize(
    "text",
    [
        "a cat — black",
        "a cat – black",
        "a cat -- black",
        "a cat—black",
        "a cat--black",
        "wait--no, not that",
        "a well-known cat",
        "---",
        "a\n---\nb",
        "5 -3",
        "-5",
        "rock -n roll",
        "an -n95 mask",
        "a –xr mark, -ar too",
        "a state-of-the-art, half-size model-railway",
        "—styled as a king",
        "the wall —some 4 feet— was red",
        "他说——不，我不去",
        "猫——黑色的——在睡觉",
        'the flag `--force` and "--ar 16:9"',
        "👩‍🚀",
        "naïve —naïve",
        "a -seed of doubt",
        "--",
        "—",
        "-- --",
        "=",
        "16:9",
    ],
)
def test_a_dash_in_prose_is_no_option(text: str) -> None:
    assert parse(text) == Prompt(text=text)


# Text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a cat --ar 1:1 on a mat", "a cat on a mat"),
        ("--ar 1:1 a cat", "a cat"),
        ("one\n\ntwo --ar 1:1\n\nthree", "one\n\ntwo\n\nthree"),
        ("one\n--ar 1:1 --seed 4\ntwo", "one\ntwo"),
        ("a cat --ar 1:1, on a mat", "a cat, on a mat"),
        ("she said \"hello\" and 'bye' --ar 1:1", "she said \"hello\" and 'bye'"),
        ("  two  spaces  --seed 1  kept  here ", "two  spaces kept  here"),
        ("🐱 --ar 1:1", "🐱"),
        ("مرحبا بالعالم --ar 1:1", "مرحبا بالعالم"),
        ("ﬁne ① ｗｉｄｅ --ar 1:1", "ﬁne ① ｗｉｄｅ"),
        ("a\x00b\x1b[31m\u202ec\u2066d\ud800e --ar 1:1", "ab[31mcde"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("e\u0301", "é"),
    ],
)
def test_the_text_around_options_survives(text: str, words: str) -> None:
    assert parse(text).text == words


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "prompt-empty"),
        (" \n\u200d\ufe0f\x00", "prompt-empty"),
        ("--ar 16:9", "prompt-only-options"),
        ("--no blurry --private", "prompt-only-options"),
        ("x" * (CHARS_MAX + 1), "prompt-too-long"),
    ],
)
def test_a_prompt_has_words_and_not_too_many(text: str, code: str) -> None:
    assert refusal(text).code == code


# What is wrong, where, and what would be right


@pytest.mark.parametrize(
    ("text", "code", "offending", "suggestion"),
    [
        ("a cat --seeed 4", "prompt-misspelt-option", "--seeed", "--seed"),
        ("a cat —seeed 4", "prompt-misspelt-option", "—seeed", "--seed"),
        ("a cat —stlye anime", "prompt-misspelt-option", "—stlye", "--style"),
        ("a cat ——setps 20", "prompt-misspelt-option", "——setps", "--steps"),
        ("a cat --zzz 4", "prompt-unknown-option", "--zzz", ""),
        ("git commit --no-verify", "prompt-unknown-option", "--no-verify", ""),
        ("a cat --ar", "prompt-no-value", "--ar", ""),
        ("a cat --ar --seed 4", "prompt-no-value", "--ar", ""),
        ("a cat --no --seed 4", "prompt-no-value", "--no", ""),
        ('a cat --style ""', "prompt-no-value", "--style", ""),
        ("a cat -n", "prompt-no-value", "-n", ""),
        ("a cat --ar wide", "prompt-not-aspect", "wide", ""),
        ("a cat --ar 5:1", "prompt-aspect-bounds", "5:1", ""),
        ("a cat --ar 0:1", "prompt-aspect-bounds", "0:1", ""),
        ("a cat --size big", "prompt-not-size", "big", ""),
        ("a cat --size 63x512", "prompt-size-bounds", "63x512", ""),
        ("a cat --size 512x4097", "prompt-size-bounds", "512x4097", ""),
        ("a cat --steps 0", "prompt-out-of-bounds", "0", ""),
        ("a cat --steps 151", "prompt-out-of-bounds", "151", ""),
        ("a cat --steps many", "prompt-not-whole", "many", ""),
        ("a cat --steps 2.5", "prompt-not-whole", "2.5", ""),
        ("a cat --cfg 31", "prompt-out-of-bounds", "31", ""),
        ("a cat --cfg -1", "prompt-out-of-bounds", "-1", ""),
        ("a cat --cfg nan", "prompt-not-number", "nan", ""),
        ("a cat --cfg 1e9", "prompt-not-number", "1e9", ""),
        ("a cat --seed -1", "prompt-out-of-bounds", "-1", ""),
        ("a cat --seed 4294967296", "prompt-out-of-bounds", "4294967296", ""),
        ("a cat --seed " + "9" * 500, "prompt-not-whole", "9" * 500, ""),
        ("a cat --count 11", "prompt-out-of-bounds", "11", ""),
        ("a cat --style ../../etc", "prompt-not-name", "../../etc", ""),
        ("a cat --kind artcle", "prompt-not-choice", "artcle", "--kind article"),
        ("a cat --length shrot", "prompt-not-choice", "shrot", "--length short"),
        ("a cat --length 5", "prompt-out-of-bounds", "5", ""),
        ("a cat --lora ink:9", "prompt-out-of-bounds", "ink:9", ""),
        ("a cat --strength 0", "prompt-out-of-bounds", "0", ""),
        ("a cat --temperature 3", "prompt-out-of-bounds", "3", ""),
        ("a cat --private=maybe", "prompt-not-choice", "maybe", ""),
        ("a cat --seed 4 --seed 5", "prompt-conflict", "--seed 5", ""),
        ("a cat --lora a:1 --lora a:0.5", "prompt-conflict", "--lora a:0.5", ""),
        ("a cat --ar 1:1 --size 512x512", "prompt-conflict", "--size 512x512", ""),
    ],
)
def test_an_error_names_what_where_and_the_nearest_right_spelling(
    text: str, code: str, offending: str, suggestion: str
) -> None:
    error = refusal(text)
    assert (error.code, error.offending, error.suggestion) == (code, offending, suggestion)


def test_a_contradiction_names_both_sides() -> None:
    assert refusal("a --seed 4 --seed 5").values == {"first": "--seed 4", "second": "--seed 5"}


@pytest.mark.parametrize("prefix", ["", "  ", "\x00 a\x00\x00 ", "e\u0301e\u0301 ", "a\r\nb ", "\u202e🐱 "])
def test_places_are_those_of_the_text_as_written(prefix: str) -> None:
    text = f"{prefix}--seeed 4 a cat"
    error = refusal(text)
    assert error.original == text
    assert clean(error.offending) == "--seeed"


def test_an_excerpt_marks_the_place_on_one_line() -> None:
    error = refusal(
        "a very long prompt about a cat that sits\non a mat --seeed 4 in the evening sun of a summer day"
    )
    assert excerpt(error) == "… cat that sits on a mat ▸--seeed◂ 4 in the evening sun of…"


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(
    "text", ["", "--ar 1:1", "x" * 9000, "a --seeed `4`", "a --ar `", "a --kind x", "a --seed 1 --seed 2"]
)
def test_every_error_is_a_sentence_in_both_languages(locale: Locale, text: str) -> None:
    assert render(refusal(text), locale)


def test_a_rendered_error_suggests_and_points() -> None:
    said = render(refusal("a cat —seeed 4"), "en")
    assert "`—seeed`" in said
    assert "Did you mean `--seed`?" in said
    assert "a cat ▸—seeed◂ 4" in said


# Properties

dashes = st.sampled_from(["--", "—", "——", "–", "-", "－－", "---", "― "])
names = st.sampled_from([*NAMED, "seeed", "stlye", "foo", "N", "ＡＲ"])
values = st.sampled_from(
    [
        "16:9",
        "16：9",
        "4",
        "0.5",
        "512x512",
        "512×640",
        "anime",
        '"a b"',
        "“x”",
        "short",
        "story",
        "",
        "-1",
        "ink:0.5",
        "yes",
    ]
)
options = st.builds(
    lambda dash, name, gap, value: dash + name + gap + value,
    dashes,
    names,
    st.sampled_from([" ", "=", "", "：", "\n"]),
    values,
)
prose = st.sampled_from(
    [
        "a cat",
        "，",
        "猫",
        " ",
        "\n",
        "—",
        "-",
        "--",
        "-n",
        "rock -n roll",
        ",",
        "=",
        '"',
        "🐱",
        "e\u0301",
        "\u200b",
        "4",
    ]
)
messy = st.lists(st.one_of(options, prose, st.text(max_size=5)), max_size=8).flatmap(
    lambda parts: st.sampled_from([" ", "", "\n"]).map(lambda gap: gap.join(parts))
)


@given(st.one_of(messy, st.text(alphabet=st.characters(), max_size=200)))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_prompt_or_a_prompt_error_and_a_prompt_survives_editing(text: str) -> None:
    try:
        prompt = parse(text)
    except PromptError as error:
        assert 0 <= error.start <= error.end <= len(error.original) == len(text)
        assert render(error, "zh")
        return
    if len(format(prompt)) <= CHARS_MAX:
        assert parse(format(prompt)) == prompt


def is_plain(char: str) -> bool:
    return unicodedata.category(char) != "Pd" and char not in "\u2212\u2500\u2501\ufe63\uff0d"


@given(st.text(alphabet=st.characters().filter(is_plain), min_size=1, max_size=300))
def test_a_text_without_dashes_is_left_alone(text: str) -> None:
    try:
        assert parse(text) == Prompt(text=clean(text))
    except PromptError as error:
        assert error.code == "prompt-empty"


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high).map(lambda number: min(max(round(number, 4), low), high))


sides = st.integers(64, 4096)
name = st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,20}", fullmatch=True)
shapes = st.one_of(
    st.just({}),
    st.tuples(sides, sides).map(lambda size: {"size": size}),
    st.sampled_from([(1, 4), (16, 9), (3, 2)]).map(lambda aspect: {"aspect": aspect}),
)
prompts = st.builds(
    lambda shape, **fields: Prompt(text="a red apple\n\non “a” table", **shape, **fields),
    shapes,
    negative=st.sampled_from(["", "blurry, text", "= x", '"quoted"', ": a"]),
    steps=st.none() | st.integers(1, 150),
    guidance=st.none() | numbers(0, 30),
    seed=st.none() | st.integers(0, 2**32 - 1),
    style=st.just("") | name,
    model=st.just("") | name,
    count=st.none() | st.integers(1, 10),
    private=st.booleans(),
    strength=st.none() | numbers(0.01, 1),
    scheduler=st.just("") | name,
    loras=st.dictionaries(name, numbers(-2, 2), max_size=3).map(lambda loras: tuple(loras.items())),
    kind=st.just("") | st.sampled_from(KINDS),
    length=st.none() | st.sampled_from(["short", "medium", "long"]) | st.integers(10, 5000),
    tone=st.sampled_from(["", "warm", "dry and short", "-n", "温暖"]),
    temperature=st.none() | numbers(0, 2),
)


@given(prompts)
@settings(deadline=None)
def test_every_prompt_can_be_written_and_read_back(prompt: Prompt) -> None:
    assert parse(format(prompt)) == prompt


@pytest.mark.parametrize(
    "text",
    [
        "-" * 8000,
        "--a" * 2600,
        "--no " * 1600,
        "--ar " + " " * 7000,
        '"' * 8000,
        "—n " * 2600,
        "-n 1" * 2000,
        "é" * 100_000,
        "--ar 1:1 " * 800,
    ],
)
def test_time_is_bounded(text: str) -> None:
    started = time.perf_counter()
    try:
        parse(text)
    except PromptError as error:
        render(error, "en")
    assert time.perf_counter() - started < 0.5
