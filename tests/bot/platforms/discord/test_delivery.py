"""Results find their person: tokens that expire, channels that close, files that are too large, floods."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot import settings
from bot.chat import TryLater, Undeliverable
from tests.bot.jobs.world import now
from tests.bot.platforms.discord.conftest import Site
from tests.bot.platforms.discord.scripted import png
from tests.fakes.discord.state import EPHEMERAL, Channel, gallery, walk, words

LONG_AGO = (now() - timedelta(seconds=60)).isoformat()


async def asked(site: Site, channel: Channel | None = None, **options: Any) -> dict[str, Any]:
    """Ann's job in line."""
    await site.ann.command(channel or site.channel, "imagine", prompt="a red apple", **options)
    return await site.ann.reads(channel or site.channel, "in line")


async def expire(site: Site) -> None:
    site.ahead += timedelta(minutes=16)
    site.fake.expire()


async def test_after_its_token_a_message_is_edited_by_the_bot(site: Site) -> None:
    shown = await asked(site)
    await expire(site)
    assert await site.chat.finish(100, created_at=site.clock().isoformat()) == shown["id"]
    assert gallery(shown)


async def test_a_token_that_discord_ended_early_is_no_hindrance(site: Site) -> None:
    shown = await asked(site)
    site.fake.expire()
    assert await site.chat.finish(100) == shown["id"]
    assert gallery(shown)


async def test_what_was_not_read_is_said_without_effect_as_markup(site: Site) -> None:
    shown = await asked(site)
    await site.chat.finish(100, note="The model did not read “**bold** [x](https://evil.example)”.")
    [said] = [
        each["content"] for each in walk(shown["components"]) if "did not read" in each.get("content", "")
    ]
    assert said == r"-# The model did not read “\*\*bold\*\* \[x\]\(https\://evil.example\)”."


async def test_after_a_restart_the_kept_token_still_opens_a_private_message(site: Site) -> None:
    shown = await asked(site, private=True)
    await site.restart()
    assert await site.chat.finish(100) == shown["id"]
    assert gallery(shown)


async def test_a_private_result_whose_token_expired_goes_directly_never_to_the_channel(site: Site) -> None:
    await asked(site, private=True)
    await expire(site)
    await site.chat.finish(100)
    assert gallery(site.ann.sees(site.ann.direct())[0])
    assert site.bob.sees(site.channel) == []


async def test_a_private_result_that_nobody_takes_waits(site: Site) -> None:
    await asked(site, private=True)
    await expire(site)
    site.fake.closed_to_bot.add(site.ann.id)
    with pytest.raises(Undeliverable):
        await site.chat.finish(100)
    assert site.bob.sees(site.channel) == []


async def test_the_newest_token_of_the_person_there_opens_the_way_for_an_older_job(site: Site) -> None:
    await asked(site, private=True)
    await expire(site)
    await site.ann.command(site.channel, "balance")
    await site.ann.reads(site.channel, "balance")
    number = await site.chat.finish(100)
    delivered = site.fake.messages[number]
    assert delivered["channel_id"] == site.channel.id
    assert delivered["flags"] & EPHEMERAL


async def test_what_took_long_arrives_as_a_message_that_mentions_only_the_requester(site: Site) -> None:
    shown = await asked(site)
    number = await site.chat.finish(100, created_at=LONG_AGO)
    [message] = site.ann.sees(site.channel)
    assert message["id"] == number != shown["id"]
    assert message["pings"] == [site.ann.id]


async def test_what_took_long_is_sent_once_however_often_it_is_tried(site: Site) -> None:
    await asked(site)
    site.fake.fail("POST", f"/channels/{site.channel.id}/messages", drop="after")
    with pytest.raises(TryLater):
        await site.chat.finish(100, created_at=LONG_AGO)
    site.platform._rest.bot._chat(site.channel.id).paused_until = 0
    await site.chat.finish(100, created_at=LONG_AGO)
    assert len([each for each in site.ann.sees(site.channel) if gallery(each)]) == 1


async def test_a_message_that_was_deleted_is_sent_anew(site: Site) -> None:
    shown = await asked(site)
    site.fake.messages.pop(shown["id"])
    number = await site.chat.finish(100)
    assert gallery(site.fake.messages[number])


async def test_a_channel_that_was_deleted_is_replaced_by_a_direct_message(site: Site) -> None:
    shown = await asked(site)
    await expire(site)
    site.fake.messages.pop(shown["id"])
    site.fake.channels.pop(site.channel.id)
    await site.chat.finish(100)
    assert gallery(site.ann.sees(site.ann.direct())[0])


async def test_a_channel_that_was_closed_is_named_with_what_is_missing(site: Site) -> None:
    shown = await asked(site)
    await expire(site)
    site.fake.messages.pop(shown["id"])
    site.channel.bot_may &= ~(1 << 11)
    await site.chat.finish(100)
    [message] = site.ann.sees(site.ann.direct())
    assert f"<#{site.channel.id}>" in words(message)
    assert gallery(message)


async def test_a_users_own_app_where_the_bot_is_not(site: Site) -> None:
    """Only tokens reach the channel; without one the result goes directly."""
    guest = site.fake.channel(guest=True)
    shown = await asked(site, guest)
    assert await site.chat.finish(100) == shown["id"]
    await asked(site, guest)
    await expire(site)
    await site.chat.finish(101)
    assert gallery(site.ann.sees(site.ann.direct())[0])


async def test_files_over_the_limit_are_sent_smaller_and_say_so(site: Site) -> None:
    site.fake.bytes_max = 400_000
    shown = await asked(site)
    await site.chat.finish(100, data=png(1000, noise=True))
    assert "**Original** has all of it" in words(shown)
    assert [each["filename"] for each in shown["attachments"]] == ["atelier-100-1.jpg"]


async def test_a_limit_that_was_another_than_promised_is_met_at_the_second_try(site: Site) -> None:
    shown = await asked(site)
    site.fake.bytes_max = 950_000
    await site.chat.finish(100, data=png(1000, noise=True))
    assert [each["filename"] for each in shown["attachments"]] == ["atelier-100-1.jpg"]


async def test_a_long_text_is_a_file_under_its_beginning(site: Site) -> None:
    await site.ann.command(site.channel, "write", prompt="a story")
    shown = await site.ann.reads(site.channel, "in line")
    story = "\n\n".join(f"Chapter {number}. {'word ' * 60}" for number in range(30))
    await site.chat.finish(100, text=story)
    [file] = shown["attachments"]
    assert file["filename"] == "atelier-100.md"
    data = site.fake.files[file["url"].removeprefix(site.fake.base).partition("?")[0]].decode()
    assert data.startswith(story)
    assert "Made with AI" in data
    assert "Chapter 0" in words(shown)


async def test_pictures_are_veiled_where_the_place_asks_for_it(site: Site) -> None:
    await site.set(spoilers=True)
    shown = await asked(site)
    await site.chat.finish(100)
    assert gallery(shown)[0]["spoiler"] is True


async def test_where_adult_pictures_are_allowed_only_age_restricted_channels_show_them_bare(
    site: Site,
) -> None:
    site.config = settings.load(None, site.environ | {"ATELIER_SAFETY_ADULT": "allow"})
    await site.restart()
    shown = await asked(site)
    await site.chat.finish(100)
    assert gallery(shown)[0]["spoiler"] is True
    grown_up = site.fake.channel(nsfw=True)
    shown = await asked(site, grown_up)
    await site.chat.finish(101)
    assert "spoiler" not in gallery(shown)[0]


async def test_a_long_rate_limit_is_kept_and_told(site: Site) -> None:
    await asked(site)
    site.fake.fail("PATCH", "/webhooks/", 429, retry_after=7200.0)
    with pytest.raises(TryLater) as told:
        await site.chat.finish(100)
    assert told.value.seconds > 7000
    before = len(site.fake.requests)
    with pytest.raises(TryLater):
        await site.chat.finish(100)
    assert len(site.fake.requests) == before


async def test_a_short_rate_limit_a_server_error_and_a_lost_connection_pass(site: Site) -> None:
    shown = await asked(site)
    site.fake.fail("PATCH", "/webhooks/", 429, retry_after=0.1)
    site.fake.fail("PATCH", "/webhooks/", 502)
    assert await site.chat.finish(100) == shown["id"]
    site.fake.fail("PATCH", "/webhooks/", drop="before")
    with pytest.raises(TryLater):
        await site.chat.finish(100)


async def test_progress_is_drawn_at_most_every_two_seconds_and_never_over_a_result(site: Site) -> None:
    shown = await asked(site)
    assert await site.chat.progress(100, 0.25, preview=b"jpeg")
    assert not await site.chat.progress(100, 0.5)
    await site.ann.reads(site.channel, "▰▰▰▱▱▱▱▱▱▱▱▱ 25%")
    assert [each["filename"] for each in shown["attachments"]] == ["preview.jpg"]
    await site.chat.finish(100)
    edits = shown["edits"]
    assert await site.chat.progress(100, 0.75)
    assert shown["edits"] == edits
    assert [each["filename"] for each in shown["attachments"]] == ["atelier-100-1.png"]


async def test_progress_goes_on_after_a_restart(site: Site) -> None:
    await asked(site)
    await site.restart()
    assert await site.chat.progress(100, 0.5)
    await site.ann.reads(site.channel, "50%")


async def test_a_route_that_means_nothing_ends_directly(site: Site) -> None:
    from bot.chat import Address

    await asked(site)
    address = Address(platform="discord", person=site.ann.id, route={"limit": "much", "channel": "x"})
    site.chat.jobs[100] = (address, site.chat.jobs[100][1])
    await site.restart()
    await site.chat.finish(100)
    assert gallery(site.ann.sees(site.ann.direct())[0])


async def test_a_thread_of_an_age_restricted_channel_is_age_restricted_too(site: Site) -> None:
    site.config = settings.load(None, site.environ | {"ATELIER_SAFETY_ADULT": "allow"})
    await site.restart()
    await site.set(threads=True)
    for number, grown_up in enumerate((True, False)):
        channel = site.fake.channel(nsfw=grown_up)
        await site.ann.command(channel, "imagine", prompt="a red apple")
        thread = await site.fake.until(lambda channel=channel: _thread_of(site, channel))
        await site.ann.reads(thread, "in line")
        message = site.fake.messages[await site.chat.finish(100 + number)]
        assert ("spoiler" in gallery(message)[0]) is not grown_up


def _thread_of(site: Site, channel: Channel) -> Channel | None:
    return next((each for each in site.fake.channels.values() if each.parent == channel.id), None)


async def test_what_was_asked_before_the_bot_was_kicked_arrives_directly(site: Site) -> None:
    await asked(site)
    await site.fake.kick()
    await expire(site)
    await site.chat.finish(100, created_at=site.clock().isoformat())
    [message] = site.ann.sees(site.ann.direct())
    assert gallery(message)
    assert f"<#{site.channel.id}>" in words(message)


async def test_kicked_and_invited_again_it_goes_on_as_before(site: Site) -> None:
    await site.set(spoilers=True)
    shown = await asked(site)
    await site.fake.kick()
    await expire(site)
    await site.fake.invite()
    assert await site.chat.finish(100, created_at=site.clock().isoformat()) == shown["id"]
    await site.bob.press(shown, "Again")
    await site.bob.reads(site.channel, "in line")
    again = site.fake.messages[await site.chat.finish(101)]
    assert gallery(again)[0]["spoiler"] is True  # what the place decided is kept
    assert site.task is not None
    assert not site.task.done()


@pytest.mark.parametrize("minutes", [-20, 20])
async def test_whether_a_token_lives_is_discords_to_say_not_our_clocks(site: Site, minutes: int) -> None:
    shown = await asked(site, private=True)
    site.ahead = timedelta(minutes=minutes)  # the clock was set, or the next process runs elsewhere
    await site.restart()
    assert await site.chat.finish(100, created_at=site.clock().isoformat()) == shown["id"]
    assert gallery(shown)


async def test_a_clock_that_is_behind_does_not_keep_a_dead_token_alive(site: Site) -> None:
    await asked(site, private=True)
    site.ahead = timedelta(minutes=-20)
    site.fake.expire()
    await site.chat.finish(100, created_at=site.clock().isoformat())
    assert gallery(site.ann.sees(site.ann.direct())[0])
    assert site.bob.sees(site.channel) == []
