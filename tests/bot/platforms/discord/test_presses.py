"""Buttons: signed, alive after a restart, paid by whoever presses."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.chat import Action, Reply
from tests.bot.platforms.discord.conftest import Site
from tests.bot.platforms.discord.scripted import png
from tests.fakes.discord.state import EPHEMERAL, LOADING, buttons, gallery, walk, words


async def made(site: Site, **options: Any) -> dict[str, Any]:
    """A finished picture of Ann's."""
    await site.ann.command(site.channel, "imagine", prompt="a red apple", **options)
    await site.ann.reads(site.channel, "in line")
    number = await site.chat.finish(site.chat.newest)
    return site.fake.messages[number]


async def test_again_is_a_new_message_that_the_presser_pays_for_also_after_a_restart(site: Site) -> None:
    message = await made(site)
    await site.restart()
    await site.bob.press(message, "Again")
    shown = await site.ann.reads(site.channel, "in line")
    assert shown["id"] != message["id"]
    assert site.chat.invocations[-1].person.id == site.bob.id
    assert await site.chat.finish(site.chat.newest) == shown["id"]


async def test_pressed_again_within_three_seconds_it_asks_once_more(site: Site) -> None:
    message = await made(site)
    await site.ann.press(message, "Vary")
    second = await site.ann.press(message, "Vary")
    assert second.answer
    assert "once more" in words(second.answer["data"])
    assert second.answer["data"]["flags"] & EPHEMERAL
    await site.ann.press(message, "Vary")
    await site.fake.until(lambda: len(site.chat.jobs) == 3)


async def test_edit_opens_a_field_with_the_prompt_and_answers_the_picture(site: Site) -> None:
    message = await made(site)
    asked = await site.ann.press(message, "Edit")
    assert asked.answer
    assert asked.answer["data"]["components"][0]["component"]["value"] == "a red apple"
    await site.ann.submit(asked, "a green apple")
    await site.ann.reads(site.channel, "green apple")
    assert site.chat.invocations[-1].origin == 100
    assert len(site.ann.sees(site.channel)) == 2


async def test_details_and_the_original_are_for_the_one_who_asked(site: Site) -> None:
    message = await made(site)
    await site.bob.press(message, "Details")
    assert (await site.bob.reads(site.channel, "seed `42`"))["flags"] & EPHEMERAL
    await site.bob.press(message, "Original")
    handed = await site.fake.until(
        lambda: next((m for m in site.bob.sees(site.channel)[2:] if m["attachments"]), None)
    )
    [file] = handed["attachments"]
    assert site.fake.files[file["url"].removeprefix(site.fake.base).partition("?")[0]] == png()
    assert len(site.ann.sees(site.channel)) == 1


async def test_an_original_over_the_limit_is_explained(site: Site) -> None:
    message = await made(site)
    site.chat.artifacts[1000] = png(1200, noise=True)
    site.fake.bytes_max = 1_000_000
    await site.ann.press(message, "Original")
    await site.ann.reads(site.channel, "can't send it untouched")


async def test_delete_by_the_requester_or_a_moderator_and_nobody_else(site: Site) -> None:
    from tests.fakes.discord.person import person

    message = await made(site)
    eve = person(site.fake, "eve")
    await site.fake.until(lambda: not message["flags"] & 128)
    await eve.press(message, "Delete")
    assert (await eve.reads(site.channel, "somebody else"))["flags"] & EPHEMERAL
    assert message["id"] in site.fake.messages
    await site.bob.press(message, "Delete")
    await site.fake.until(lambda: message["id"] not in site.fake.messages)


async def test_cancel_changes_the_message_itself(site: Site) -> None:
    await site.ann.command(site.channel, "imagine", prompt="a red apple")
    message = await site.ann.reads(site.channel, "in line")
    await site.ann.press(message, "Cancel")
    changed = await site.ann.reads(site.channel, "Cancelled")
    assert changed["id"] == message["id"]
    assert len(site.ann.sees(site.channel)) == 1


async def test_a_private_pictures_buttons_make_private_pictures(site: Site) -> None:
    await site.ann.command(site.channel, "imagine", prompt="a cat", private=True)
    await site.ann.reads(site.channel, "in line")
    number = await site.chat.finish(100)
    await site.ann.press(site.fake.messages[number], "Again")
    shown = await site.ann.reads(site.channel, "in line")
    assert shown["flags"] & EPHEMERAL
    await site.ann.press(shown, "Cancel")
    await site.ann.reads(site.channel, "Cancelled")
    assert site.bob.sees(site.channel) == []


async def test_forged_and_foreign_buttons_are_refused_in_words(site: Site) -> None:
    message = await made(site)
    for forged in ("dl-100.zzzz.AAAAAAAAAAAAAAAA", "x", "ag-1..", "🙂" * 20, "de-100.00.0"):
        await site.bob.press(message, button=forged)
    await site.bob.reads(site.channel, "not made by me")
    assert gallery(site.fake.messages[message["id"]])


async def test_a_strange_modal_is_refused_in_words(site: Site) -> None:
    data = {
        "custom_id": "draft:admin:1:",
        "components": [{"type": 18, "component": {"custom_id": "prompt", "value": "x"}}],
    }
    sent = await site.ann._send(site.channel, 5, data)
    assert sent.answer
    assert sent.answer["type"] == 4
    assert site.chat.invocations == []


async def test_buttons_stay_within_discords_limits(site: Site) -> None:
    message = await made(site)
    assert all(len(each) <= 100 for each in buttons(message).values())


@pytest.mark.parametrize("minutes", [-20, 20])
async def test_buttons_work_under_a_clock_that_is_minutes_off(site: Site, minutes: int) -> None:
    message = await made(site)
    site.ahead = timedelta(minutes=minutes)
    await site.restart()
    await site.bob.press(message, "Again")
    await site.bob.reads(site.channel, "in line")


def asleep(message: dict[str, Any]) -> set[str]:
    return {each["label"] for each in walk(message["components"]) if each.get("disabled")}


async def test_a_button_rests_while_its_job_is_on_its_way_and_wakes_after(site: Site) -> None:
    message = await made(site)
    shown = gallery(message)
    await site.bob.press(message, "Again")
    await site.fake.until(lambda: asleep(message) == {"Again"})
    await site.ann.press(message, "Vary")
    await site.fake.until(lambda: asleep(message) == {"Again", "Vary"})
    assert gallery(message) == shown
    await site.chat.finish(101)
    assert asleep(message) == {"Vary"}
    await site.chat.finish(102)
    assert asleep(message) == set()
    assert gallery(message) == shown


async def test_buttons_wake_after_a_restart_and_when_the_new_job_is_deleted(site: Site) -> None:
    message = await made(site)
    await site.bob.press(message, "Upscale")
    await site.fake.until(lambda: asleep(message) == {"Upscale"})
    await site.restart()
    await site.chat.finish(101)
    assert asleep(message) == set()
    pressed = await site.bob.press(message, "Again")
    await site.fake.until(lambda: asleep(message) == {"Again"})
    delete = site.chat.button(Action.DELETE, 102).id
    await site.fake.until(lambda: not site.fake.messages[pressed.original]["flags"] & LOADING)
    await site.bob.press(site.fake.messages[pressed.original], button=delete)
    await site.fake.until(lambda: asleep(message) == set())


async def test_nothing_rests_after_a_refusal_nor_where_only_one_person_sees_it(site: Site) -> None:
    message = await made(site)
    site.chat.next_reply = Reply(text="No credits.", refused=True)
    await site.bob.press(message, "Again")
    await site.bob.reads(site.channel, "No credits")
    await site.ann.command(site.channel, "imagine", prompt="a cat", private=True)
    await site.ann.reads(site.channel, "in line")
    secret = site.fake.messages[await site.chat.finish(101)]
    await site.ann.press(secret, "Again")
    await site.ann.reads(site.channel, "in line")
    await site.chat.finish(102)
    assert asleep(message) == asleep(secret) == set()
    assert site.fake.calls("GET", "/messages/") == []


async def test_a_text_with_a_file_rests_and_wakes_too(site: Site) -> None:
    await site.ann.command(site.channel, "write", prompt="a story")
    await site.ann.reads(site.channel, "in line")
    message = site.fake.messages[await site.chat.finish(100, text="word " * 2000)]
    await site.ann.press(message, "Again")
    await site.fake.until(lambda: asleep(message) == {"Again"})
    await site.chat.finish(101, text="short")
    assert asleep(message) == set()
