"""Plain words: mentions, direct messages, answers."""

from __future__ import annotations

import asyncio

from tests.bot.platforms.discord.conftest import Site
from tests.bot.platforms.discord.scripted import png
from tests.fakes.discord.state import BOT, GUILD, gallery, words


async def test_a_mention_works_like_the_command_and_answers_the_message(site: Site) -> None:
    asked = await site.ann.write(site.channel, f"<@{BOT}> a red apple --ar 16:9")
    shown = await site.ann.reads(site.channel, "in line")
    assert shown["reference"] == asked["id"]
    assert shown["pings"] == []
    [invocation] = site.chat.invocations
    assert (invocation.command, invocation.text) == ("imagine", "a red apple --ar 16:9")
    assert (invocation.event, invocation.address.place) == (asked["id"], GUILD)
    assert await site.chat.finish(100) == shown["id"]
    assert gallery(shown)


async def test_what_is_not_for_us_is_not_heard(site: Site) -> None:
    await site.ann.write(site.channel, "a red apple")
    await site.ann.write(site.ann.direct(), "a green apple")
    await site.ann.reads(site.ann.direct(), "in line")
    assert [each.text for each in site.chat.invocations] == ["a green apple"]


async def test_an_answer_to_a_result_edits_it(site: Site) -> None:
    await site.ann.command(site.channel, "imagine", prompt="a red apple")
    await site.ann.reads(site.channel, "in line")
    message = site.fake.messages[await site.chat.finish(100)]
    await site.restart()
    await site.bob.write(site.channel, "make it night", answers=message)
    await site.bob.reads(site.channel, "make it night")
    last = site.chat.invocations[-1]
    assert (last.command, last.origin, last.text) == ("imagine", 100, "make it night")


async def test_an_answer_to_a_text_goes_on_with_the_text(site: Site) -> None:
    await site.ann.command(site.channel, "write", prompt="a story")
    await site.ann.reads(site.channel, "in line")
    message = site.fake.messages[await site.chat.finish(100, text="Once upon a time.")]
    await site.ann.write(site.channel, "go on", answers=message)
    await site.ann.reads(site.channel, "go on")
    assert (site.chat.invocations[-1].command, site.chat.invocations[-1].origin) == ("write", 100)


async def test_pictures_sent_along_or_answered_are_started_from(site: Site) -> None:
    await site.ann.write(site.ann.direct(), "as a painting", picture=png())
    await site.ann.reads(site.ann.direct(), "in line")
    photo = await site.bob.write(site.channel, "my cat", picture=png(16))
    await site.ann.write(site.channel, f"<@{BOT}> in watercolour", answers=photo)
    await site.fake.until(lambda: len(site.chat.read) == 2)
    assert site.chat.read == [png(), png(16)]


async def test_commands_can_be_written_out(site: Site) -> None:
    chat = site.ann.direct()
    for said, command, text in (
        ("help", "help", ""), ("/balance", "balance", ""), ("write a poem", "write", "a poem"),
        ("help me draw a cat", "imagine", "help me draw a cat"), ("", "start", ""),
    ):  # fmt: skip
        before = len(site.chat.invocations)
        await site.ann.write(chat, said)
        await site.fake.until(lambda before=before: len(site.chat.invocations) > before)
        assert (site.chat.invocations[-1].command, site.chat.invocations[-1].text) == (command, text)


async def test_chinese_words_are_answered_in_chinese(site: Site) -> None:
    await site.ann.write(site.ann.direct(), "一个红苹果")
    await site.fake.until(lambda: site.chat.invocations)
    assert site.chat.invocations[0].address.locale == "zh"


async def test_where_we_may_not_write_the_person_is_told_directly_what_is_missing(site: Site) -> None:
    site.channel.bot_may = 1 << 10
    await site.ann.write(site.channel, f"<@{BOT}> a red apple")
    shown = await site.ann.reads(site.ann.direct(), "in line")
    await site.chat.finish(100)
    assert gallery(shown)
    bodies = site.fake.calls("POST", f"/channels/{site.ann.direct().id}/messages")
    assert "Send Messages" in words(bodies[0])


async def test_threads_and_allowed_channels_count_for_mentions_too(site: Site) -> None:
    await site.set(threads=True, channels=(site.channel.id,))
    await site.ann.write(site.channel, f"<@{BOT}> a red apple")
    thread = await site.fake.until(lambda: next((c for c in site.fake.channels.values() if c.parent), None))
    await site.ann.reads(thread, "in line")
    await site.ann.write(thread, f"<@{BOT}> a green apple")
    await site.ann.reads(thread, "green apple")
    other = site.fake.channel()
    await site.ann.write(other, f"<@{BOT}> a blue apple")
    await site.ann.reads(other, f"<#{site.channel.id}>")


async def test_private_words_in_a_channel_go_on_directly(site: Site) -> None:
    site.chat.private_by_default = True
    await site.ann.write(site.channel, f"<@{BOT}> a red apple")
    shown = await site.ann.reads(site.ann.direct(), "in line")
    assert site.ann.sees(site.channel) == []
    while not await site.chat.progress(100, 0.5):
        await asyncio.sleep(0.01)
    await site.ann.reads(site.ann.direct(), "50%")
    assert await site.chat.finish(100) == shown["id"]
    assert gallery(shown)
