"""What is drawn stays within Discord's limits, whatever the card holds; and nothing private is logged."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bot.chat import Action, Button, Card, Picture
from bot.commands import prompt
from bot.platforms.discord import declarations, drawing, translate
from bot.platforms.discord.drawing import Extras
from bot.platforms.discord.pictures import smaller
from bot.platforms.discord.rest import Upload
from bot.platforms.discord.wire import Option
from tests.bot.platforms.discord.conftest import Site
from tests.bot.platforms.discord.scripted import png
from tests.fakes.discord import validate
from tests.fakes.discord.state import walk

CHANNEL = "/api/v10/channels/123456789012345678/messages"
texts = st.text(max_size=5000)


@settings(max_examples=40, deadline=None)
@given(
    prompt=st.text(max_size=200), text=texts, status=st.text(max_size=300), state=st.sampled_from(["running", "done"]),
    fraction=st.floats(0, 1), pictures=st.integers(0, 10),
)  # fmt: skip
def test_any_card_is_a_message_that_discord_takes(
    prompt: str, text: str, status: str, state: str, fraction: float, pictures: int
) -> None:
    buttons = tuple(Button(id=f"b{n}", action=Action.AGAIN, label="x" * 100) for n in range(7))
    made = tuple(Picture(artifact=n, width=1, height=1, alt=text) for n in range(pictures))
    card = Card(
        job=1, kind="image", state=state, prompt=prompt, status=status, text=text, fraction=fraction,
        label="Made with AI", pictures=made, buttons=buttons, note=status,
    )  # type: ignore[arg-type]  # fmt: skip
    files = [
        Upload(name=f"{n}.png", data=b"x", media_type="image/png", description=text[:1024])
        for n in range(pictures)
    ]
    drawn = drawing.card(card, Extras(pictures=files, spoiler=True, notes=["a note"], shrunk=1))
    assert validate.problems("POST", CHANNEL, drawing.body(drawn)) == []


def test_buttons_of_all_kinds_are_taken_and_only_our_own_rest() -> None:
    kinds: list[dict[str, str]] = [{}, {"sku": "123456789012345678"}, {"url": "https://pay.example/1"}] * 3
    buttons = [
        Button(id=f"b{n}", action=Action.BUY, label="Buy" * 40, **each) for n, each in enumerate(kinds)
    ]
    [drawn] = drawing.words("Plans", buttons)
    rested = drawing.rested(drawn.components, {"b0"})
    for components in (drawn.components, rested):
        assert validate.problems("POST", CHANNEL, drawing.body(drawing.Drawn(components=components))) == []
    assert [each["custom_id"] for each in walk(rested) if each.get("disabled")] == ["b0"]


@given(texts)
def test_words_are_cut_into_parts_without_loss(text: str) -> None:
    parts = drawing.chunks(text, 100)
    assert all(len(part) <= 100 for part in parts)
    assert "".join(parts).replace("\n", "") == text.replace("\n", "")


def test_file_names_can_be_referred_to() -> None:
    assert drawing.safe_name("苹果 1.png") == "1.png"
    assert drawing.safe_name("../../a b.p/ng") == "a-b.png"
    assert drawing.safe_name("苹果") == "atelier.bin"


def test_options_become_the_prompt_language_that_the_parser_reads() -> None:
    given = [
        Option("no", "blur, text"), Option("prompt", "a cat"), Option("cfg", 7.0), Option("seed", 4294967295),
        Option("private", True), Option("private", True), Option("unknown", "x"), Option("style", None),
    ]  # fmt: skip
    text = declarations.COMMANDS["imagine"].text(given)
    read = prompt.parse(text)
    assert (read.text, read.negative, read.guidance, read.seed) == ("a cat", "blur, text", 7.0, 4294967295)
    assert read.private
    tone = declarations.COMMANDS["write"].text([Option("prompt", "x"), Option("tone", "warm and dry")])
    assert prompt.parse(tone).tone == "warm and dry"
    assert declarations.COMMANDS["imagine"].text([Option("private", False), Option("prompt", "x")]) == "x"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("a cat --private", True), ("—private 猫", True), ("--private=no x", False), ("x --privateer", False),
        ("private", False),
    ],
)  # fmt: skip
def test_privacy_is_seen_before_anything_is_shown(words: str, wanted: bool) -> None:
    assert translate.wants_privacy(words) is wanted


def test_what_is_no_modal_of_ours_is_none() -> None:
    draft = translate.Draft(command="imagine", origin=5, pictures="910000000000000001")
    assert translate.draft_of(draft.custom_id()) == draft
    for strange in ("", "draft:imagine", "draft:Imagine:1:", "draft:imagine:x:", "draft:imagine:1:2:3", "🙂"):
        assert translate.draft_of(strange) is None


def test_a_smaller_picture_fits_and_what_is_none_is_nothing() -> None:
    made = smaller(png(900, noise=True), 60_000)
    assert made.startswith(b"\xff\xd8")
    assert len(made) <= 60_000
    assert smaller(b"no picture", 100) == b""


async def test_neither_prompts_nor_tokens_are_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with capture_logs() as ours:
        sent = await site.ann.command(site.channel, "imagine", prompt="a secret apple")
        await site.ann.reads(site.channel, "in line")
        site.fake.fail("PATCH", "/webhooks/", 429, retry_after=0.1)
        await site.chat.finish(100)
        await site.ann.command(site.channel, "explode", prompt="a secret apple")
        await site.ann.reads(site.channel, "on our side")
    said = caplog.text + repr(ours)
    assert "discord.event_broken" in said
    assert "secret" not in said
    assert sent.token not in said
