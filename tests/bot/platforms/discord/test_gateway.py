"""The connection: resumed, begun anew, refused; commands registered only when they changed; shards."""

from __future__ import annotations

import asyncio

import pytest

from bot import settings
from bot.chat import Invocation, Reply
from bot.config import ConfigError
from bot.platforms.discord import declarations, gateway
from bot.platforms.discord.client import DiscordPlatform, invite_url
from bot.platforms.discord.gateway import Gateway, Shards, shards_of
from storage import places
from tests.bot.platforms.discord.conftest import Site
from tests.fakes.discord.server import FakeDiscord
from tests.fakes.discord.state import words


async def test_commands_are_registered_once_and_again_when_they_changed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    while await site.database.read(places.settings, "discord", "commands") is None:
        await asyncio.sleep(0.01)
    names = {command["name"] for command in site.fake.commands}
    assert names == {*declarations.COMMANDS, "Remix", "Details"}
    setup = next(command for command in site.fake.commands if command["name"] == "setup")
    assert (setup["contexts"], setup["integration_types"]) == ([0], [0])
    await site.restart()
    await asyncio.sleep(0.2)
    assert site.fake.registrations == 1
    monkeypatch.delitem(declarations.COMMANDS, "claim")
    await site.restart()
    await site.fake.until(lambda: site.fake.registrations == 2)


async def test_no_privileged_intents_and_a_compressed_stream(site: Site) -> None:
    [identified] = site.fake.gateway.identifies
    privileged = (1 << 1) | (1 << 8) | (1 << 15)
    assert identified["intents"] & privileged == 0
    assert site.fake.gateway.compressed == 1


async def test_the_rate_limits_of_past_interactions_are_looked_through_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http = Gateway(settings.load(None, {}).discord, {}, asyncio.Event()).http
    for number in range(300):  # more than discord.py keeps before it looks for old ones each time
        http.get_ratelimit(str(number))._last_request -= 1000
    assert len(http._buckets) == 300
    monkeypatch.setattr(gateway, "SWEEP_SECONDS", 0)
    http.get_ratelimit("new")
    assert set(http._buckets) == {"new"}


async def test_a_resumed_session_loses_no_event(site: Site) -> None:
    await site.fake.gateway.reconnect()
    sent = await site.ann.command(site.channel, "imagine", wait=False, prompt="a cat")
    await site.fake.until(lambda: site.fake.gateway.resumes == 1, 10)
    await site.ann.reads(site.channel, "in line", 10)
    assert sent.answer
    assert len(site.fake.gateway.identifies) == 1


async def test_a_broken_connection_and_an_invalid_session_are_begun_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(*_: object, **__: object) -> None:
        return

    monkeypatch.setattr(Gateway, "before_identify_hook", at_once)
    await site.fake.gateway.invalidate()
    await asyncio.wait_for(site.fake.gateway.ready.wait(), 15)
    await site.ann.command(site.channel, "imagine", prompt="a cat")
    await site.fake.gateway.drop()
    await asyncio.wait_for(site.fake.gateway.ready.wait(), 15)
    await site.ann.command(site.channel, "imagine", prompt="a dog")
    await site.ann.reads(site.channel, "a dog")


async def test_a_wrong_token_is_no_reason_to_end_the_other_platforms(site: Site) -> None:
    await site.stop()
    site.config = settings.load(None, site.environ | {"ATELIER_DISCORD_TOKEN": "wrong"})
    task = asyncio.create_task(_start(site))
    await site.fake.until(
        lambda: [1 for verb, path, _ in site.fake.requests[-3:] if path.endswith("/users/@me")]
    )
    await asyncio.sleep(0.2)
    assert site.task
    assert not site.task.done()
    task.cancel()


async def _start(site: Site) -> None:
    await site.start()


async def test_each_process_connects_its_own_shards(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(*_: object, **__: object) -> None:
        return

    monkeypatch.setattr(Gateway, "before_identify_hook", at_once)
    await site.stop()
    site.config = settings.load(None, site.environ | {"ATELIER_DISCORD_SHARDS": "2-3/8"})
    await site.start()
    await site.fake.until(lambda: len(site.fake.gateway.identifies) == 3)
    assert [each["shard"] for each in site.fake.gateway.identifies[1:]] == [[2, 8], [3, 8]]


@pytest.mark.parametrize("text", ["3", "3-1/8", "0-8/8", "a-b/c", "0-1/", "-1/2"])
def test_shards_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="0-3/8"):
        shards_of(text)


def test_shards() -> None:
    assert shards_of("") == Shards()
    assert shards_of("0-3/8") == Shards(ids=[0, 1, 2, 3], count=8)
    assert shards_of("5/8") == Shards(ids=[5], count=8)


def test_the_invitation_asks_for_little() -> None:
    assert invite_url("12") == (
        "https://discord.com/oauth2/authorize?client_id=12&scope=bot+applications.commands&permissions=309237746688"
    )


def test_the_fake_refuses_what_discord_would() -> None:
    from tests.fakes.discord import validate

    if validate.spec() is None:
        pytest.skip("SKIPPED for want of Discord's OpenAPI description")
    channel = "/api/v10/channels/123456789012345678/messages"
    assert validate.problems("POST", channel, {"content": "x" * 2001})
    assert validate.problems("POST", channel, {"contnt": "x"})
    assert validate.problems("GET", "/api/v10/nowhere", None)
    assert validate.problems(
        "POST", channel, {"flags": 1 << 15, "components": [{"type": 10, "content": "x" * 4001}]}
    )
    assert not validate.problems("POST", channel, {"content": "x"})
    assert FakeDiscord().problems == []


async def test_lives_that_end_at_once_are_begun_less_and_less_often(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand identifies a day are all that Discord gives."""
    await site.stop()
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            raise asyncio.CancelledError

    async def short_life(self: DiscordPlatform) -> float:
        return 600.0

    monkeypatch.setattr(DiscordPlatform, "_live", short_life)
    monkeypatch.setattr("bot.platforms.discord.client.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await site.platform.run()
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]


async def test_what_is_being_answered_is_finished_when_the_bot_stops(site: Site) -> None:
    answer = site.chat.run

    async def slow(invocation: Invocation) -> Reply:
        await asyncio.sleep(0.3)
        return await answer(invocation)

    site.chat.run = slow  # type: ignore[method-assign]
    await site.ann.command(site.channel, "imagine", prompt="a cat")
    await site.stop()
    assert "in line" in words(site.ann.sees(site.channel)[0])
