"""Commands, modals, menus and autocomplete, typed by people at a Discord."""

from __future__ import annotations

import asyncio

import pytest

from bot.chat import Audience
from tests.bot.platforms.discord.conftest import Site
from tests.bot.platforms.discord.scripted import png
from tests.fakes.discord.person import is_loading, person
from tests.fakes.discord.state import EPHEMERAL, GUILD, V2, buttons, gallery, words


async def test_a_command_is_acknowledged_then_shown_then_delivered_in_one_message(site: Site) -> None:
    sent = await site.ann.command(site.channel, "imagine", prompt="a red apple", ar="16:9", count=2, cfg=7.5)
    assert sent.answer == {"type": 5}
    shown = await site.ann.reads(site.channel, "#2 in line")
    assert shown["flags"] & V2
    assert list(buttons(shown)) == ["Cancel"]
    assert "14 credits left" in words(shown)
    [invocation] = site.chat.invocations
    assert invocation.text == "a red apple --ar 16:9 --count 2 --cfg 7.5"
    assert (invocation.address.place, invocation.address.kind) == (GUILD, "group")
    assert await site.chat.finish(100, count=2) == shown["id"] == sent.original
    [message] = site.ann.sees(site.channel)
    assert [item["description"] for item in gallery(message)] == ["A picture 1000", "A picture 1001"]
    assert "Made with AI" in words(message)
    assert list(buttons(message)) == ["Again", "Edit", "Vary", "Upscale", "Details", "Original", "Delete"]
    assert message["pings"] == []


async def test_without_a_prompt_a_modal_opens_with_the_options_and_the_picture_is_kept(site: Site) -> None:
    asked = await site.ann.command(site.channel, "imagine", style="ink", picture=png())
    assert asked.answer
    [label] = asked.answer["data"]["components"]
    assert label["component"]["value"] == " --style ink"
    await site.ann.submit(asked, "a cat --style ink")
    await site.ann.reads(site.channel, "in line")
    [invocation] = site.chat.invocations
    assert invocation.text == "a cat --style ink"
    assert site.chat.read == [png()]


async def test_a_picture_that_a_restart_forgot_is_asked_for_again(site: Site) -> None:
    asked = await site.ann.command(site.channel, "imagine", picture=png())
    await site.restart()
    await site.ann.submit(asked, "a cat")
    await site.ann.reads(site.channel, "was taken away")


async def test_an_attachment_that_vanished_is_refused_in_words(site: Site) -> None:
    site.fake.files.clear()
    channel = site.channel
    attach = site.fake.attach

    def gone(*args: object) -> dict[str, object]:
        made = attach(*args)  # type: ignore[arg-type]
        site.fake.files.clear()
        return made

    site.fake.attach = gone  # type: ignore[method-assign,assignment]
    await site.ann.command(channel, "imagine", prompt="a cat", picture=png())
    refused = await site.ann.reads(channel, "was taken away")
    assert refused["flags"] & EPHEMERAL


async def test_a_refusal_is_for_the_one_who_asked(site: Site) -> None:
    await site.ann.command(site.channel, "imagine", prompt="refuse this --stepz 3")
    refused = await site.ann.reads(site.channel, "is not an option")
    assert refused["flags"] & EPHEMERAL
    assert site.ann.sees(site.channel) == [refused]
    assert site.bob.sees(site.channel) == []


@pytest.mark.parametrize("options", [{"private": True, "prompt": "a cat"}, {"prompt": "a cat --private"}])
async def test_private_is_seen_by_nobody_else_from_the_first_moment(
    site: Site, options: dict[str, object]
) -> None:
    sent = await site.ann.command(site.channel, "imagine", **options)
    assert sent.answer == {"type": 5, "data": {"flags": EPHEMERAL}}
    await site.ann.reads(site.channel, "in line")
    assert site.chat.invocations[0].address.audience is Audience.PRIVATE
    await site.chat.finish(100)
    assert gallery(site.ann.sees(site.channel)[0])
    assert site.bob.sees(site.channel) == []


async def test_private_by_ones_own_settings_takes_the_public_line_back(site: Site) -> None:
    site.chat.private_by_default = True
    await site.ann.command(site.channel, "imagine", prompt="a cat")
    shown = await site.ann.reads(site.channel, "in line")
    assert shown["flags"] & EPHEMERAL
    assert await site.chat.finish(100) == shown["id"]
    assert site.bob.sees(site.channel) == []


async def test_in_a_direct_chat_nothing_has_to_be_hidden(site: Site) -> None:
    chat = site.ann.direct()
    await site.ann.command(chat, "imagine", prompt="a cat", private=True)
    shown = await site.ann.reads(chat, "in line")
    assert not shown["flags"] & EPHEMERAL
    assert site.chat.invocations[0].address.kind == "private"
    await site.chat.finish(100)
    assert gallery(site.ann.sees(chat)[0])


async def test_answers_about_oneself_are_for_oneself(site: Site) -> None:
    await site.ann.command(site.channel, "balance")
    assert (await site.ann.reads(site.channel, "balance"))["flags"] & EPHEMERAL
    await site.ann.command(site.channel, "privacy", erase="erase yes")
    await site.ann.reads(site.channel, "erase yes")


async def test_a_long_answer_comes_in_several_messages(site: Site) -> None:
    from bot.chat import Reply

    site.chat.next_reply = Reply(text="\n".join(f"- model {number}: {'x' * 80}" for number in range(90)))
    await site.ann.command(site.channel, "help")
    await site.ann.reads(site.channel, "model 89")
    assert len(site.ann.sees(site.channel)) == 3


async def test_setup_is_told_what_its_options_say_and_who_may(site: Site) -> None:
    await site.bob.command(site.channel, "setup", threads=True, spoilers=False, hourly=20, language="zh")
    await site.bob.reads(site.channel, "setup")
    [invocation] = site.chat.invocations
    assert invocation.text == "--threads on --spoilers off --hourly 20 --language zh"
    assert invocation.may_moderate
    await site.ann.command(site.channel, "setup", hourly=1)
    await site.fake.until(lambda: len(site.chat.invocations) == 2)
    assert not site.chat.invocations[1].may_moderate


async def test_autocomplete_offers_my_jobs_by_number_and_words(site: Site) -> None:
    await site.ann.command(site.channel, "imagine", prompt="a fox")
    found = await site.ann.complete(site.channel, "jobs", "job", "fox")
    assert len(found) == 1
    assert found[0].isdigit()
    assert await site.ann.complete(site.channel, "jobs", "job", "whale") == []


async def test_autocomplete_offers_styles_models_and_shapes(site: Site) -> None:
    assert await site.ann.complete(site.channel, "imagine", "style", "ink") == ["ink"]
    assert await site.ann.complete(site.channel, "imagine", "model", "") == ["tiny"]
    assert await site.ann.complete(site.channel, "write", "model", "") == ["smol"]
    assert "16:9" in await site.ann.complete(site.channel, "imagine", "ar", "16")
    assert await site.ann.complete(site.channel, "imagine", "nothing", "x") == []


async def test_remix_and_details_in_the_menu_of_a_message(site: Site) -> None:
    await site.ann.command(site.channel, "imagine", prompt="a red apple")
    await site.ann.reads(site.channel, "in line")
    await site.chat.finish(100)
    [message] = site.ann.sees(site.channel)
    asked = await site.bob.menu(site.channel, "Remix", message)
    await site.bob.submit(asked, "make it night")
    await site.fake.until(lambda: len(site.chat.jobs) == 2)
    assert (site.chat.invocations[-1].origin, site.chat.invocations[-1].text) == (100, "make it night")
    await site.bob.menu(site.channel, "Details", message)
    assert (await site.bob.reads(site.channel, "seed `42`"))["flags"] & EPHEMERAL
    strange = await site.ann.write(site.channel, "hello")
    nothing = await site.bob.menu(site.channel, "Remix", strange)
    assert nothing.answer
    assert nothing.answer["type"] == 4
    photo = await site.ann.write(site.channel, "my cat", picture=png())
    asked = await site.bob.menu(site.channel, "Remix", photo)
    await site.bob.submit(asked, "as a painting")
    await site.fake.until(lambda: site.chat.read)
    assert site.chat.read == [png()]


async def test_only_in_the_channels_that_the_place_allows(site: Site) -> None:
    other = site.fake.channel()
    await site.set(channels=(other.id,))
    refused = await site.ann.command(site.channel, "imagine", prompt="a cat")
    assert refused.answer
    assert f"<#{other.id}>" in words(refused.answer["data"])
    await site.ann.command(site.channel, "balance")
    await site.ann.reads(site.channel, "balance")
    await site.ann.command(other, "imagine", prompt="a cat")
    await site.ann.reads(other, "in line")


async def test_the_language_is_the_persons_unless_the_place_has_one(site: Site) -> None:
    mei = person(site.fake, "mei", locale="zh-CN")
    await mei.command(site.channel, "imagine")
    modal = await mei.command(site.channel, "imagine")
    assert modal.answer
    assert modal.answer["data"]["title"] == "生成图片"
    await site.set(locale="en")
    modal = await mei.command(site.channel, "imagine")
    assert modal.answer
    assert modal.answer["data"]["title"] == "Make a picture"


async def test_each_request_in_a_thread_where_the_place_wants_it(site: Site) -> None:
    await site.set(threads=True)
    sent = await site.ann.command(site.channel, "imagine", prompt="a red apple")
    thread = await site.fake.until(lambda: site.fake.channels.get(sent.original))
    shown = await site.ann.reads(thread, "in line")
    [line] = site.ann.sees(site.channel)
    assert not gallery(line)
    assert thread.name == "a red apple"
    assert await site.chat.finish(100) == shown["id"]
    assert gallery(shown)


async def test_a_thread_that_may_not_be_opened_is_explained_and_the_result_stays(site: Site) -> None:
    await site.set(threads=True)
    site.channel.bot_may &= ~(1 << 35)
    await site.ann.command(site.channel, "imagine", prompt="a red apple")
    await site.ann.reads(site.channel, "Create Public Threads")
    await site.ann.reads(site.channel, "in line")
    await site.chat.finish(100)
    assert any(gallery(each) for each in site.ann.sees(site.channel))


async def test_old_unknown_and_broken_commands_get_words(site: Site) -> None:
    await site.ann.command(site.channel, "explode")
    said = await site.ann.reads(site.channel, "on our side")
    assert said["flags"] & EPHEMERAL
    assert "secret" not in words(said)
    await site.ann.command(site.channel, "oldcommand")
    await site.ann.reads(site.channel, "oldcommand")


async def test_malformed_events_end_nothing_and_are_answered_where_that_is_possible(site: Site) -> None:
    await site.fake.gateway.dispatch("INTERACTION_CREATE", {"id": "1", "nonsense": []})
    await site.fake.gateway.dispatch("MESSAGE_CREATE", {"author": 7})
    await site.fake.gateway.dispatch("GUILD_CREATE", {"id": "x"})
    await site.fake.gateway.dispatch("SOMETHING_NEW", {})
    sent = await site.ann.command(site.channel, "imagine", wait=False, prompt="x")
    await site.ann.reads(site.channel, "in line")
    broken = await site.ann._send(site.channel, 2, {"name": ["not", "text"]})
    assert broken.answer
    assert broken.answer["type"] == 4
    assert sent.answer


async def test_markup_of_4096_characters_is_shown_as_plain_words(site: Site) -> None:
    await site.ann.command(site.channel, "imagine", prompt="**`<@&1> @everyone [x](y)`** # " * 130)
    shown = await site.ann.reads(site.channel, "in line")
    assert "\\<\\@" in words(shown)
    assert shown["pings"] == []


async def test_an_acknowledgement_whose_answer_was_lost_is_not_lost_itself(site: Site) -> None:
    site.fake.fail("POST", "/callback", drop="after")
    await site.ann.command(site.channel, "imagine", prompt="a cat")
    await site.ann.reads(site.channel, "in line")
    await site.chat.finish(100)
    [message] = site.ann.sees(site.channel)
    assert gallery(message)
    assert not is_loading(message)


async def test_an_acknowledgement_that_hung_but_arrived_leaves_no_line_behind(site: Site) -> None:
    site.fake.fail("POST", "/callback", drop="after", times=2)
    await site.ann.command(site.channel, "imagine", prompt="a cat")
    await site.ann.reads(site.channel, "in line")
    assert len(site.ann.sees(site.channel)) == 1


async def test_an_event_that_came_too_late_is_answered_in_the_channel(site: Site) -> None:
    site.fake.answer_seconds = -1
    await site.ann.command(site.channel, "imagine", wait=False, prompt="a cat")
    await site.ann.reads(site.channel, "in line")
    await site.chat.finish(100)
    [message] = site.ann.sees(site.channel)
    assert gallery(message)


async def test_fifty_commands_at_once_are_all_acknowledged(site: Site) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(site.ann.command(site.channel, "imagine", prompt=f"cat {number}"))
    await site.fake.until(lambda: len(site.chat.jobs) == 50)
    await site.fake.until(lambda: not any(is_loading(each) for each in site.ann.sees(site.channel)), 10)
