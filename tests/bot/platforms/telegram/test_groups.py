"""Groups: privacy mode, topics, one message a job, what is private stays private, and what admins decide."""

from __future__ import annotations

import asyncio

import pytest

from bot.chat import Address, Card
from bot.places import PlaceSettings
from tests.bot.platforms.telegram.life import Life, png
from tests.fakes.telegram import FakeTelegram, Person, keys, until, words

GROUP = -1001


@pytest.fixture
def here(ann: Person) -> Person:
    """Ann in the group."""
    return ann.into(GROUP)


async def test_commands_mentions_and_replies_are_for_us_and_nothing_else(life: Life, here: Person) -> None:
    await here.say("what a nice day")
    await here.say("/imagine@other_bot a wolf")
    await here.say("/roll")
    await here.say("/imagine a fox")
    result = await here.sees_photo("a fox")
    await here.say("look @atelier_bot, a whale")
    await here.sees_photo("look , a whale")
    await here.say("make it night", reply=result)
    await here.sees_photo("make it night")
    await here.say("thanks", reply=await here.say("hello"))
    await life.settled(3)
    assert len(await life.jobs()) == 3


async def test_a_group_sees_a_place_and_a_result_and_no_steps(
    life: Life, here: Person, server: FakeTelegram
) -> None:
    life.engine.gate.clear()
    asked = await here.say("/imagine a fox")
    status = await here.sees("line")
    await asyncio.sleep(0.8)
    assert server.called("editMessageText") == []
    life.engine.gate.set()
    result = await here.sees_photo("a fox")
    assert result["message_id"] == status["message_id"]
    assert status["reply_to_message"]["message_id"] == asked["message_id"]
    assert [call.method for call in server.calls if call.method.startswith(("send", "edit"))] == [
        "sendMessage", "editMessageMedia",
    ]  # fmt: skip


async def test_a_mention_under_somebodys_photo_starts_from_it(
    life: Life, here: Person, server: FakeTelegram
) -> None:
    theirs = await Person(server, 502, "Bob", at=GROUP).photo(png("blue"))
    await here.say("@atelier_bot as a painting", reply=theirs)
    await here.sees_photo("as a painting")
    assert next(iter(life.engine.inputs[0].values())) == png("blue")


async def test_answers_stay_in_their_topic_and_outlive_it(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    server.chat(GROUP).forum = True
    here = ann.into(GROUP, topic=44)
    life.engine.gate.clear()
    await here.say("/imagine a fox")
    status = await here.sees("line")
    assert status["message_thread_id"] == 44
    server.chat(GROUP).topics_gone.add(44)
    server.chat(GROUP).messages.pop(status["message_id"])
    life.engine.gate.set()
    result = await here.sees_photo("a fox")
    assert "message_thread_id" not in result


async def test_only_the_topics_that_admins_chose_are_answered(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    server.chat(GROUP).forum = True
    server.chat(GROUP).admins.add(ann.id)
    chosen, other = ann.into(GROUP, topic=44), ann.into(GROUP, topic=45)
    await chosen.say("/setup --channels here")
    await ann.sees("channels: 44")
    await other.say("/imagine a fox")
    await other.sees("I don't answer in this topic")
    await chosen.say("/imagine a whale")
    await chosen.sees_photo("a whale")
    assert len(await life.jobs()) == 1


async def test_setup_is_for_admins_and_spoilers_veil_pictures(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    here, bob = ann.into(GROUP), Person(server, 502, "Bob")
    server.chat(GROUP).admins.add(ann.id)
    await bob.into(GROUP).say("/setup --spoilers on")
    await until(lambda: any("Only those who manage" in words(each) for each in [*bob.seen, *here.seen]))
    await here.say("/setup --spoilers on --language zh --hourly 2")
    await until(lambda: "zh" in "".join(words(each) for each in ann.seen))
    await here.say("/imagine a fox")
    result = await here.sees_photo("a fox", "由 AI")
    assert result["has_media_spoiler"] is True
    assert (await life.places.get("telegram", str(GROUP))).hourly == 2


async def test_private_results_go_to_the_persons_own_chat(life: Life, here: Person, ann: Person) -> None:
    await here.say("/imagine a secret --private")
    await ann.sees_photo("a secret")
    assert here.seen == []
    await life.settled()


async def test_private_results_never_fall_back_to_the_group(life: Life, here: Person, ann: Person) -> None:
    ann.block()
    await here.say("/imagine a secret --private")
    notice = await here.sees("Open a private chat with me")
    assert keys(notice) == ["Open our chat"]
    await life.settled()
    assert all("secret" not in words(each) and "photo" not in each for each in here.seen)
    ann.unblock()
    await ann.say("/jobs")
    await ann.sees_photo("a secret")


async def test_balance_in_a_group_is_answered_in_private(life: Life, here: Person, ann: Person) -> None:
    await here.say("/balance")
    await ann.sees("credits")
    assert here.seen == []


async def test_others_may_press_again_but_not_cancel_or_delete(
    life: Life, here: Person, server: FakeTelegram
) -> None:
    bob = Person(server, 502, "Bob", at=GROUP)
    life.engine.gate.clear()
    await here.say("/imagine a fox")
    status = await here.sees("line")
    assert "somebody else" in (await bob.press(status, "Cancel"))["text"]
    life.engine.gate.set()
    result = await here.sees_photo("a fox")
    assert "somebody else" in (await bob.press(result, "Delete"))["text"]
    await bob.press(result, "Again")
    await until(lambda: len([each for each in here.seen if "photo" in each]) == 2)
    server.chat(GROUP).admins.add(bob.id)
    await bob.press(result, "Delete")
    await until(lambda: len([each for each in here.seen if "photo" in each]) == 1)


async def test_details_are_shown_to_the_presser_alone(life: Life, here: Person, ann: Person) -> None:
    await here.say("/imagine a fox")
    result = await here.sees_photo("a fox")
    answer = await here.press(result, "Details")
    shown = answer.get("text") or words(await ann.sees("Prompt:"))
    assert "a fox" in shown
    assert len(here.seen) == 1


async def test_edit_in_a_group_mentions_the_presser(life: Life, here: Person) -> None:
    await here.say("/imagine a fox")
    result = await here.sees_photo("a fox")
    await here.press(result, "Edit")
    asked = await here.sees("tap to copy")
    assert asked["asks"]["selective"] is True
    assert "text_mention" in [each["type"] for each in asked["entities"]]
    await here.say("a blue fox", reply=asked)
    await here.sees_photo("a blue fox")
    assert (await life.jobs())[1].origin == (await life.jobs())[0].id


async def test_a_busy_group_gets_at_most_twenty_a_minute_and_every_result(
    life: Life, server: FakeTelegram
) -> None:
    people = [Person(server, 600 + number, at=GROUP) for number in range(6)]
    for number, person in enumerate(people):
        await person.say(f"/imagine fox number {number}")
    await until(lambda: len(server.calls) > 10)
    await asyncio.sleep(1)
    assert server.busiest(GROUP, 60) <= 20
    assert len(await life.jobs()) == 6


async def test_who_writes_as_the_group_is_the_group_and_has_no_private_chat(life: Life, here: Person) -> None:
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    chat = here.server.chat(GROUP).json()
    await here.say("/setup --spoilers on", sender=anonymous, sender_chat=chat)
    await here.sees("Open a private chat")
    assert (await life.places.get("telegram", str(GROUP))).spoilers
    await here.say("/imagine a secret --private", sender=anonymous, sender_chat=chat)
    await life.settled()
    assert not any("photo" in each for each in here.seen)


async def test_other_bots_and_channels_are_not_listened_to(life: Life, here: Person) -> None:
    bot = {"id": 999, "is_bot": True, "first_name": "Other"}
    await here.say("/imagine a fox", sender=bot)
    await here.say("/imagine a wolf", via_bot=here.server.me)
    await here.say("/help")
    await here.sees("Atelier")
    assert await life.jobs() == []


async def test_kicked_from_the_group_the_result_goes_to_the_person(
    life: Life, here: Person, ann: Person
) -> None:
    life.engine.gate.clear()
    await here.say("/imagine a fox")
    await here.sees("line")
    here.server.chat(GROUP).closed = "Forbidden: bot was kicked from the supergroup chat"
    life.engine.gate.set()
    await ann.sees_photo("a fox")


async def test_without_the_right_to_send_photos_the_group_hears_which_is_missing(
    life: Life, here: Person, ann: Person, server: FakeTelegram
) -> None:
    life.engine.gate.clear()
    await here.say("/imagine a fox")
    await here.sees("line")
    server.fail("editMessageMedia", 400, "Bad Request: not enough rights to send photos to the chat")
    life.engine.gate.set()
    await ann.sees_photo("a fox")
    await here.sees("I may not send photos")
    await until(lambda: len(here.seen) == 1)


async def test_a_group_that_became_a_supergroup_keeps_its_settings_and_gets_its_results(
    life: Life, here: Person, ann: Person, server: FakeTelegram
) -> None:
    await life.places.set("telegram", str(GROUP), PlaceSettings(spoilers=True))
    life.engine.gate.clear()
    await here.say("/imagine a fox")
    status = await here.sees("line")
    new = server.migrate(GROUP)
    other = {**status, "chat": server.chat(new).json(), "text": "another of ours, by chance with the same id"}
    server.chat(new).messages[status["message_id"]] = other
    life.engine.gate.set()
    result = await ann.into(new).sees_photo("a fox")
    assert (await life.places.get("telegram", str(new))).spoilers
    await life.settled()
    assert result["message_id"] != status["message_id"]
    assert other["text"].startswith("another of ours")
    await ann.into(new).say("/imagine a whale")
    assert (await ann.into(new).sees_photo("a whale"))["has_media_spoiler"] is True


async def test_the_service_message_of_a_migration_moves_the_settings(
    life: Life, here: Person, server: FakeTelegram
) -> None:
    await life.places.set("telegram", str(GROUP), PlaceSettings(hourly=7))
    new = server.migrate(GROUP)
    await here._push(None, migrate_to_chat_id=new)
    await until(lambda: server.updates == [])
    assert (await life.places.get("telegram", str(new))).hourly == 7


async def test_show_in_a_group_costs_nothing(life: Life, server: FakeTelegram) -> None:
    card = Card(job=1, kind="image", state="running", prompt="x", status="Step 1 of 4")
    address = Address(platform="telegram", place=str(GROUP), kind="group", person="501")
    assert await life.platform.show(1, address, card)
    assert server.called("editMessageText") == []
