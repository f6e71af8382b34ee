"""What was acknowledged and not answered when the process died is answered by the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.chat import Invocation, Reply
from bot.platforms.discord import client
from bot.platforms.discord.journal import Journal
from bot.platforms.discord.rest import Rest
from tests.bot.platforms.discord.conftest import Site
from tests.bot.platforms.discord.scripted import ScriptedChat
from tests.fakes.discord.state import LOADING, words


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stops does not wait for what hangs, as one that is killed."""
    monkeypatch.setattr(client, "FINISH_SECONDS", 0.0)


async def dies_while_asked(site: Site, monkeypatch: pytest.MonkeyPatch, command: str, **options: Any) -> str:
    """Returns the id of the message that says “thinking …” to nobody any more."""

    async def hangs(self: ScriptedChat, invocation: Invocation) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(ScriptedChat, "run", hangs)
        asked = await site.ann.command(site.channel, command, **options)
        await asyncio.sleep(0.05)
        await site.stop()
    assert site.fake.messages[asked.original]["flags"] & LOADING
    return asked.original


async def test_a_command_goes_on_in_its_own_message(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    thinking = await dies_while_asked(site, monkeypatch, "imagine", prompt="a red apple")
    await site.start()
    assert (await site.ann.reads(site.channel, "in line"))["id"] == thinking
    assert await site.chat.finish(100) == thinking
    assert list(site.chat.jobs) == [100]


async def test_what_may_not_be_done_twice_is_asked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    thinking = await dies_while_asked(site, monkeypatch, "claim", code="abc")
    await site.start()
    assert (await site.ann.reads(site.channel, "I was restarted"))["id"] == thinking
    assert site.chat.invocations == []


async def test_what_was_never_acknowledged_was_given_up_by_its_person(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(self: Rest, interaction: str, token: str, body: Any) -> str:
        await asyncio.Event().wait()
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(Rest, "acknowledge", hangs)
        asked = await site.ann.command(site.channel, "imagine", wait=False, prompt="a red apple")
        await asyncio.sleep(0.05)
        await site.stop()
    site.fake.answer_seconds = 0.0
    await site.start()
    await site.fake.until(lambda: site.fake.calls("POST", f"{asked.token}/callback"))
    site.fake.answer_seconds = 3.0
    await site.ann.command(site.channel, "imagine", prompt="a whale")
    assert "whale" in words(await site.ann.reads(site.channel, "in line"))
    assert [each.text for each in site.chat.invocations] == ["a whale"]


async def test_nothing_is_kept_of_what_was_answered(site: Site, tmp_path: Path) -> None:
    await site.ann.command(site.channel, "imagine", prompt="a red apple")
    await site.ann.reads(site.channel, "in line")
    kept = tmp_path / "discord" / "all.journal"
    await site.fake.until(lambda: kept.read_bytes() == b"")
    assert kept.stat().st_mode & 0o777 == 0o600
    await site.restart()
    await asyncio.sleep(0.1)
    assert len(site.chat.jobs) == 1


def test_a_torn_line_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.journal"
    journal = Journal(path)
    with pytest.raises(asyncio.CancelledError), journal.keeping("1", {"id": "1"}):
        with journal.keeping("2", {"id": "2"}):
            pass
        raise asyncio.CancelledError
    with path.open("ab") as file:
        file.write(b'\n{"id":"3","eve')
    next_one = Journal(path)
    assert next_one.left() == [{"id": "1"}]
    with pytest.raises(asyncio.CancelledError), next_one.keeping("4", {"id": "4"}):
        raise asyncio.CancelledError
    assert Journal(path).left() == [{"id": "1"}, {"id": "4"}]
    assert Journal(tmp_path / "none").left() == []
