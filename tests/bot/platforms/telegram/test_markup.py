"""Whatever people and models write comes out as markup that the API reads, in parts that fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Card
from bot.platforms.telegram import drawing, markup
from tests.fakes.telegram import entities

WRITTEN = st.text(
    st.one_of(st.characters(codec="utf-8", exclude_characters="\r\0"), st.sampled_from("*`<>&-\n 🌊"))
)


@given(WRITTEN)
def test_rendered_words_can_be_read_and_lose_nothing_but_markup(text: str) -> None:
    read, _ = entities.read(markup.rendered(text), "HTML")

    def bare(words: str) -> str:
        return "".join(char for char in words if char not in "*`•-" and not char.isspace())

    assert bare(read) == bare(text)


@given(WRITTEN, st.integers(20, 60))
def test_parts_fit_and_hold_everything(text: str, limit: int) -> None:
    parts = markup.parts(text, limit)
    assert all(markup.units(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@given(st.text(), st.integers(2, 40))
def test_shortened_and_tail_fit(text: str, limit: int) -> None:
    text = markup.whole(text)
    assert markup.units(markup.shortened(text, limit)) <= limit
    assert markup.units(markup.tail(text, limit)) <= limit


def test_markup_is_what_it_looks_like() -> None:
    assert markup.rendered("**a** `b<` - c\n- d") == "<b>a</b> <code>b&lt;</code> - c\n• d"
    assert markup.rendered("2 ** 3 ** 4") == "2 ** 3 ** 4"
    assert markup.plain("<b>a</b> &amp; <code>&lt;b&gt;</code>") == "a & <b>"


def test_parts_are_cut_at_the_widest_border() -> None:
    assert markup.parts("one two three.\n\nfour five", 22) == ["one two three.", "four five"]
    assert markup.parts("一二三四五。六七八九十", 8) == ["一二三四五。", "六七八九十"]
    assert markup.parts("🌊" * 5, 4) == ["🌊🌊", "🌊🌊", "🌊"]


def test_a_caption_fits_whatever_the_prompt() -> None:
    card = Card(job=1, kind="image", state="done", prompt="🌊" * 200, status="x" * 900, label="y" * 900)
    assert (
        markup.units(markup.plain(drawing.caption(card))) <= 1024
    )  # https://core.telegram.org/bots/api#sendphoto
