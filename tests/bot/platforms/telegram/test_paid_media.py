"""Creators sell their own pictures in their own channels."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.bot.platforms.telegram.conftest import Lives
from tests.bot.platforms.telegram.life import Life
from tests.fakes.telegram import FakeTelegram, Person, until
from tests.fakes.telegram.messages import public

CHANNEL = -1001234567890
Json = dict[str, Any]


@pytest.fixture
def channel(server: FakeTelegram, ann: Person) -> Any:
    found = server.chat(CHANNEL)
    found.channel, found.admins = "anns_pictures", {ann.id, server.me["id"]}
    return found


async def picture(ann: Person) -> Json:
    await ann.say("a fox -n 2")
    return await ann.sees_photo("a fox")


async def test_a_picture_is_unlocked_for_stars_in_its_makers_channel(
    life: Life, ann: Person, server: FakeTelegram, channel: Any
) -> None:
    await ann.say("/sell 50 @anns_pictures", reply=await picture(ann))
    await ann.sees("Done", "50 Stars")
    [post] = channel.messages.values()
    assert post["paid_media"]["star_count"] == 50
    assert len(post["paid_media"]["paid_media"]) == 2
    assert "Made with AI" in post["caption"]
    assert "a fox" not in post["caption"]


async def test_nobody_sells_what_is_not_theirs_or_where_they_may_not(
    life: Life, ann: Person, server: FakeTelegram, channel: Any
) -> None:
    mine = await picture(ann)
    bob = life.person(502)
    channel.admins.add(502)
    await bob.say("/help")
    await bob.say("/sell 50 @anns_pictures", reply=mine)
    await bob.sees("of your own")
    for spoilt in ({ann.id}, {server.me["id"]}, set[int]()):
        channel.admins = spoilt
        before = len(ann.seen)
        await ann.say(f"/sell 50 {CHANNEL}", reply=mine)
        await ann.finds(lambda each, at=before: len(ann.seen) > at, "an answer")
        await ann.sees("both admins")
    await ann.say("/sell 50 @nowhere", reply=mine)
    assert channel.messages == {}


@pytest.mark.parametrize("words", ["", "50", "0 @anns_pictures", "25001 @anns_pictures", "@anns_pictures 50"])
async def test_a_price_that_telegram_would_not_take_is_explained(
    life: Life, ann: Person, channel: Any, words: str
) -> None:
    await ann.say(f"/sell {words}")
    await ann.sees("1 to 25,000 Stars", "/sell 50 @yourchannel")


async def test_what_was_posted_is_not_posted_again_when_its_command_comes_again(
    life: Life, ann: Person, server: FakeTelegram, channel: Any
) -> None:
    said = await ann.say("/sell 50 @anns_pictures", reply=await picture(ann))
    for count in (1, 2):
        await ann.finds(lambda _, count=count: len(done(ann)) == count, "Done")
        await server.push(message=public(said))
    assert len(channel.messages) == 1


@pytest.mark.parametrize("hours", [0, 2])
async def test_who_sold_while_the_bot_died_hears_that_it_may_be_there(
    lives: Lives, ann: Person, server: FakeTelegram, channel: Any, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    post = server.on_send_paid_media

    async def never_answered(*call: Any) -> Any:
        await post(*call)
        await asyncio.sleep(60)

    monkeypatch.setattr(server, "on_send_paid_media", never_answered)
    await lives.begin()
    await ann.say("/sell 50 @anns_pictures", reply=await picture(ann))
    await until(lambda: channel.messages)
    monkeypatch.undo()
    await lives.restart(ahead=timedelta(hours=hours))
    await ann.sees("may be in your channel already")
    assert len(channel.messages) == 1


async def test_an_answer_that_was_lost_may_have_been_a_yes(
    life: Life, ann: Person, server: FakeTelegram, channel: Any
) -> None:
    server.drop("sendPaidMedia", after=True)
    await ann.say("/sell 50 @anns_pictures", reply=await picture(ann))
    await ann.sees("may be in your channel already")
    assert len(channel.messages) == 1


async def test_what_was_refused_is_free_to_be_tried_again(
    life: Life, ann: Person, server: FakeTelegram, channel: Any
) -> None:
    server.fail("sendPaidMedia", 429, "Too Many Requests: retry after 1", retry_after=1)
    said = await ann.say("/sell 50 @anns_pictures", reply=await picture(ann))
    await ann.sees("Nothing was posted")
    await server.push(message=public(said))
    await ann.sees("Done", "50 Stars")
    assert len(channel.messages) == 1


def done(person: Person) -> list[Json]:
    return [each for each in person.seen if "Done" in each.get("text", "")]
