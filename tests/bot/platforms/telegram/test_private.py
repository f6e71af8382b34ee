"""A person alone with the bot: makes, edits, varies, cancels and deletes, with words and with buttons."""

from __future__ import annotations

import asyncio
import copy
import io
import time
from datetime import timedelta

import pytest
from PIL import Image

from bot.jobs import roster
from bot.platforms.telegram import steps
from generators.requests import ImageToImage, Inpaint, TextToImage, WriteText
from tests.bot.jobs.test_roster import Devices, serving
from tests.bot.platforms.telegram.conftest import Lives
from tests.bot.platforms.telegram.life import Engine, Life, png
from tests.fakes.telegram import FakeTelegram, Person, keys, until, words
from tests.fakes.telegram.person import data_of


async def test_start_says_what_this_is_and_its_examples_work(life: Life, ann: Person) -> None:
    await ann.say("/start")
    hello = await ann.sees("Atelier")
    assert keys(hello) == ["a red apple", "a rocket", "a fox"]
    await ann.press(hello, "a rocket")
    await ann.sees_photo("a rocket")


async def test_words_become_a_status_that_turns_into_the_picture(life: Life, ann: Person) -> None:
    life.engine.gate.clear()
    asked = await ann.say("a red <apple> & more")
    status = await ann.sees("▰▰▰▰▰▱▱▱▱▱", "Step 2 of 4")
    assert status["reply_to_message"]["message_id"] == asked["message_id"]
    assert keys(status) == ["Cancel"]
    life.engine.gate.set()
    result = await ann.sees_photo("a red <apple> & more", "Made with AI · Tiny Emoji", "Done")
    assert result["message_id"] == status["message_id"]
    assert keys(result) == ["Again", "Edit", "Vary", "Upscale", "Details", "Original", "Delete"]
    assert len(ann.seen) == 1


async def test_what_takes_long_shows_previews_and_turns_into_the_picture_also_after_a_restart(
    lives: Lives, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PREVIEW_SECONDS", 0.2)
    life = await lives.begin()
    life.engine.gate.clear()
    await ann.say("a red apple")
    shown = await ann.sees_photo("▰▰▰▰▰▱▱▱▱▱", "Step 2 of 4")
    assert life.server.data(shown) == b"jpeg"
    assert keys(shown) == ["Cancel"]
    life = await lives.restart(engine=Engine(hurried=False))
    await until(lambda: len(life.engine.requests) == 1)
    await ann.sees("Step 2 of 4")
    life.engine.gate.set()
    result = await ann.sees_photo("a red apple", "Done")
    assert result["message_id"] == shown["message_id"]
    assert len(ann.seen) == 1


async def test_a_failure_after_a_preview_leaves_one_message(
    life: Life, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "PREVIEW_SECONDS", 0.2)
    life.engine.gate.clear()
    await ann.say("please fail")
    await ann.sees_photo("Step 2 of 4")
    life.engine.gate.set()
    await ann.sees("Your credits are back")
    await until(lambda: len(ann.seen) == 1)


async def test_small_pictures_are_enlarged_and_the_original_is_untouched(life: Life, ann: Person) -> None:
    await ann.say("/imagine a fox")
    result = await ann.sees_photo("a fox")
    assert Image.open(io.BytesIO(life.server.data(result))).size == (
        192,
        192,
    )  # the starter model's scale is 3
    await ann.press(result, "Original")
    file = await ann.finds(lambda each: "document" in each, "a document")
    assert life.server.data(file).startswith(b"\x89PNG")
    assert Image.open(io.BytesIO(life.server.data(file))).size == (64, 64)
    assert file["document"]["file_name"].startswith("atelier-")


async def test_several_pictures_are_one_grid_with_a_number_for_each(life: Life, ann: Person) -> None:
    await ann.say("/imagine fruit -n 4")
    result = await ann.sees_photo("fruit")
    assert keys(result)[:5] == ["1", "2", "3", "4", "Again"]
    assert Image.open(io.BytesIO(life.server.data(result))).size == (392, 392)
    await ann.press(result, "3")
    file = await ann.finds(lambda each: "document" in each, "a document")
    assert Image.open(io.BytesIO(life.server.data(file))).getpixel((9, 9)) == (0, 0, 255)


async def test_a_reply_to_a_result_edits_it(life: Life, ann: Person) -> None:
    await ann.say("a house")
    result = await ann.sees_photo("a house")
    await ann.say("make it night", reply=result)
    edited = await ann.sees_photo("make it night")
    assert isinstance(life.engine.requests[1], ImageToImage)
    assert life.engine.inputs[1]
    assert edited["message_id"] != result["message_id"]
    assert [job.origin for job in await life.jobs()] == [None, (await life.jobs())[0].id]


async def test_the_edit_button_asks_for_words_and_its_answer_edits(life: Life, ann: Person) -> None:
    await ann.say("a house")
    result = await ann.sees_photo("a house")
    await ann.press(result, "Edit")
    asked = await ann.sees("tap to copy")
    assert "a house" in words(asked)
    assert asked["asks"]["force_reply"] is True
    await ann.say("a house in the snow", reply=asked)
    await ann.sees_photo("a house in the snow")
    assert (await life.jobs())[1].origin == (await life.jobs())[0].id


async def test_again_and_vary_answer_the_old_result(life: Life, ann: Person) -> None:
    await ann.say("a whale")
    result = await ann.sees_photo("a whale")
    answer = await ann.press(result, "Vary")
    assert "line" in answer["text"]
    await until(lambda: len([each for each in ann.seen if "photo" in each]) == 2)
    assert ann.last["reply_to_message"]["message_id"] == result["message_id"]


async def test_a_button_rests_while_its_job_is_on_its_way_and_wakes_after_also_after_a_restart(
    lives: Lives, ann: Person
) -> None:
    life = await lives.begin()
    await ann.say("fruit -n 2")
    result = await ann.sees_photo("fruit")
    before = keys(result)
    life.engine.gate.clear()
    await ann.press(result, "Vary")
    await until(lambda: keys(result) == [f"⏳ {each}" if each == "Vary" else each for each in before])
    assert "photo" in result
    asked = await ann.press(result, "⏳ Vary")
    assert "once more" in asked["text"]
    (await lives.restart()).engine.gate.set()
    await until(lambda: keys(result) == before)
    await lives.now.settled(2) if lives.now else None


async def test_pressing_twice_asks_whether_it_was_meant(life: Life, ann: Person) -> None:
    await ann.say("a whale")
    result = await ann.sees_photo("a whale")
    first = copy.deepcopy(result)
    await ann.press(result, "Again")
    second = await ann.press_data(result, data_of(first, "Again"))
    assert "once more" in second["text"]
    assert second["show_alert"] == "true"
    third = await ann.press_data(result, data_of(first, "Again"))
    assert "line" in third["text"]
    await life.settled(3)
    assert len(await life.jobs()) == 3


async def test_cancel_stops_it_at_no_cost_and_says_so(life: Life, ann: Person) -> None:
    life.engine.gate.clear()
    await ann.say("a castle")
    status = await ann.sees("Step")
    await ann.press(status, "Cancel")
    await ann.sees("Cancelled")
    assert keys(ann.last) == ["Again", "Edit", "Delete"]


async def test_delete_removes_the_message(life: Life, ann: Person) -> None:
    await ann.say("a castle")
    result = await ann.sees_photo("a castle")
    answer = await ann.press(result, "Delete")
    assert "Deleted" in answer["text"]
    await until(lambda: ann.seen == [])
    late = await ann.press_data(result, result["reply_markup"]["inline_keyboard"][0][0]["callback_data"])
    assert "deleted" in late["text"]


async def test_details_are_an_alert_or_a_message_by_their_length(life: Life, ann: Person) -> None:
    await ann.say("a castle " + "with towers " * 30)
    result = await ann.sees_photo("a castle")
    await ann.press(result, "Details")
    await ann.sees("Prompt:", "with towers", "Receipt")


async def test_a_failure_names_the_way_out(life: Life, ann: Person) -> None:
    await ann.say("please fail")
    failed = await ann.sees("Your credits are back")
    assert keys(failed) == ["Again", "Edit", "Delete"]
    assert len(ann.seen) == 1


async def test_what_the_model_did_not_read_is_said_under_the_picture(life: Life, ann: Person) -> None:
    await ann.say("a red apple unread in a <b>bowl")
    await ann.sees_photo("did not read “in a <b>bowl”", "Put what matters first")


async def test_a_refusal_is_a_sentence_and_makes_no_job(life: Life, ann: Person) -> None:
    await ann.say("a fox --stepz 4")
    await ann.sees("--steps")
    await ann.say("/imagine")
    assert keys(await ann.sees("Say what to make")) == ["a red apple", "a rocket", "a fox"]
    await ann.say("/imagin a fox")
    await ann.sees("Did you mean “imagine”")
    assert await life.jobs() == []


async def test_a_picture_with_words_is_started_from(life: Life, ann: Person) -> None:
    await ann.photo(png("blue"), "as a painting")
    await ann.sees_photo("as a painting")
    assert life.engine.inputs[0]
    assert next(iter(life.engine.inputs[0].values())) == png("blue")


async def test_a_picture_sent_as_a_file_keeps_its_transparent_part_which_is_drawn(
    life: Life, ann: Person
) -> None:
    file, holed = io.BytesIO(), Image.open(io.BytesIO(png("blue"))).convert("RGBA")
    holed.paste((0, 0, 0, 0), (0, 0, 9, 9))
    holed.save(file, "PNG")
    await ann.document(file.getvalue(), "a red apple", name="hole.png", media_type="image/png")
    await ann.sees_photo("a red apple")
    [request] = life.engine.requests
    assert isinstance(request, Inpaint)
    assert life.engine.inputs[0] == {request.source: file.getvalue()}


async def test_a_picture_alone_asks_for_words_and_its_answer_starts_from_it(life: Life, ann: Person) -> None:
    sent = await ann.photo(png("blue"))
    await ann.sees("What should I make of this picture")
    await ann.say("make it night", reply=sent)
    await ann.sees_photo("make it night")
    assert isinstance(life.engine.requests[0], ImageToImage)


async def test_an_album_is_one_request(life: Life, ann: Person) -> None:
    await ann.album([png("blue"), png("red"), png("green")], "/imagine a collage")
    await ann.sees_photo("a collage")
    await life.settled()
    assert len(await life.jobs()) == 1
    assert next(iter(life.engine.inputs[0].values())) == png("blue")
    assert len(ann.seen) == 1


async def test_a_picture_that_vanished_is_said_to_be_gone(life: Life, ann: Person) -> None:
    sent = await ann.photo(png())
    await ann.sees("What should I make")
    life.server.vanish(sent["photo"][-1]["file_id"])
    await ann.say("make it night", reply=sent)
    await ann.sees("taken away before I could read it")


async def test_too_large_a_picture_is_refused_without_a_download(life: Life, ann: Person) -> None:
    sent = await ann.photo(png(), "night")
    await ann.sees_photo("night")
    big = await ann.photo(b"0" * (11 << 20), "night")
    await ann.sees("10 MB is the most")
    assert [call.fields["file_id"] for call in life.server.called("getFile")] == [
        sent["photo"][-1]["file_id"]
    ]
    assert big


async def test_a_text_is_streamed_by_edits_and_ends_under_its_label(life: Life, ann: Person) -> None:
    life.engine.gate.clear()
    await ann.say("/write a story")
    await ann.sees("Once upon a time")
    life.engine.gate.set()
    result = await ann.sees("it ended <well>.", "Made with AI", "Done")
    assert {each["type"] for each in result["entities"]} == {"bold", "italic"}
    assert keys(result) == ["Again", "Edit", "Details", "Original", "Delete"]
    assert len(ann.seen) == 1
    await ann.say("and then?", reply=result)
    await until(lambda: len(life.engine.requests) == 2)
    follow = life.engine.requests[1]
    assert isinstance(follow, WriteText)
    assert [each.role for each in follow.messages if each.role != "system"] == ["user", "assistant", "user"]


async def test_a_text_is_drafted_where_the_api_can(life: Life, ann: Person, server: FakeTelegram) -> None:
    server.has_drafts = True
    life.engine.gate.clear()
    await ann.say("/write a story")
    await until(lambda: server.drafts, "a draft")
    assert server.drafts[-1]["text"].startswith("Once")
    life.engine.gate.set()
    await ann.sees("it ended", "Made with AI")
    await until(lambda: len(ann.seen) == 1)


async def test_an_api_without_drafts_is_asked_once(life: Life, ann: Person, server: FakeTelegram) -> None:
    for _ in range(2):
        life.engine.gate.clear()
        await ann.say("/write a story")
        await ann.sees("Once upon", seconds=5)
        life.engine.gate.set()
        await life.settled()
    assert len(server.called("sendMessageDraft")) == 1


async def test_a_long_text_is_split_between_paragraphs_and_deleted_whole(life: Life, ann: Person) -> None:
    await ann.say("/write a long story")
    last = await ann.sees("Made with AI")
    await life.settled()
    parts = [words(each) for each in ann.seen]
    assert 2 <= len(parts) <= 3
    assert all(part.rstrip().endswith(("paragraph.", "Done · 1 credit", "credits")) for part in parts)
    assert all("**" not in part for part in parts)
    assert [bool(keys(each)) for each in ann.seen][:-1] == [False] * (len(parts) - 1)
    await ann.press(last, "Delete")
    await until(lambda: ann.seen == [])


async def test_a_very_long_text_is_a_document(life: Life, ann: Person) -> None:
    await ann.say("/write an endless story")
    file = await ann.finds(lambda each: "document" in each, "a document")
    assert file["document"]["file_name"].endswith(".md")
    assert len(life.server.data(file)) > 20_000
    assert "Made with AI" in life.server.data(file).decode()
    await until(lambda: len(ann.seen) == 1)


async def test_what_took_long_arrives_as_a_reply_that_rings(life: Life, ann: Person) -> None:
    life.engine.gate.clear()
    asked = await ann.say("a castle")
    status = await ann.sees("Step")
    assert status["silent"]
    life.ahead = timedelta(seconds=31)
    life.engine.gate.set()
    result = await ann.sees_photo("a castle")
    assert not result["silent"]
    assert result["reply_to_message"]["message_id"] == asked["message_id"]
    await until(lambda: len(ann.seen) == 1)


async def test_chinese_people_read_chinese(life: Life, server: FakeTelegram) -> None:
    li = Person(server, 502, "李", "zh-hans")
    await li.say("/help")
    await li.sees("变成图片")
    await li.say("一个红苹果")
    result = await li.sees_photo("一个红苹果", "由 AI")
    assert keys(result)[:2] == ["再来一次", "修改"]


async def test_jobs_balance_and_settings_answer(life: Life, ann: Person) -> None:
    life.engine.gate.clear()
    await ann.say("a castle")
    await ann.sees("Step")
    await ann.say("/jobs")
    await ann.sees("One job", "a castle")
    await ann.say("/balance")
    await ann.sees("credits", "Plan")
    await ann.say("/settings --style anime")
    await ann.sees("--style anime")
    await ann.say("/privacy")
    await ann.sees("keeps")


async def test_stickers_and_old_messages_are_answered_with_a_sentence(life: Life, ann: Person) -> None:
    await ann._push(None, sticker={"file_id": "S", "file_unique_id": "S", "type": "regular", "width": 1, "height": 1,
                                   "is_animated": False, "is_video": False})  # fmt: skip
    await ann.sees("I understand words and pictures")
    await ann.say("a fox", date=int(time.time()) - 7200)
    await ann.sees("I was away")
    assert await life.jobs() == []


async def test_edited_and_malformed_updates_make_nothing(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    sent = await ann.say("a fox")
    await ann.sees_photo("a fox")
    await server.push(edited_message={**sent, "text": "a wolf", "edit_date": sent["date"] + 1})
    await server.push(message={"nonsense": True})
    await server.push(something_new={"id": 5})
    await server.push(message={**sent, "message_id": 9_000, "text": "\ud83d lone \x00 surrogate"})
    await ann.sees_photo("lone")
    assert len(await life.jobs()) == 2
    await until(lambda: server.updates == [], "all are confirmed")


async def test_forged_foreign_and_old_buttons_are_told_off(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    await ann.say("a fox")
    result = await ann.sees_photo("a fox")
    data = result["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
    for forged in (data[:-1] + ("A" if data[-1] != "A" else "B"), "pi-1..AAAA", "", "x" * 64, "ag-1.zz.é"):
        answer = await ann.press_data(result, forged)
        assert "too old or was not made by me" in answer["text"]
        assert answer["show_alert"] == "true"
    bob = Person(server, 777, "Bob")
    answer = await bob.press_data(result, data)
    assert "somebody else" in answer["text"]
    await asyncio.sleep(0)
    assert len(await life.jobs()) == 1


async def test_options_reach_the_request(life: Life, ann: Person) -> None:
    await ann.say("/imagine@atelier_bot a fox —ar 16：9 --seed 7")
    await until(lambda: life.engine.requests)
    request = life.engine.requests[0]
    assert isinstance(request, TextToImage)
    assert request.seed == 7
    assert request.width > request.height


async def test_an_admin_sees_drains_and_resumes_a_device_and_ends_a_job(
    lives: Lives, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "LOOK_SECONDS", 0.05)
    life = await lives.begin(environ={"ATELIER_ADMINS_OWNER": "telegram:502"})
    life.engine.gate.clear()
    boss, pool = life.person(502), Devices("gpu")
    async with serving(life.database, pool, "me"):
        await ann.say("a secret apple")
        await ann.sees("Step 2 of 4")
        await boss.say("/admin pool")
        assert "secret" not in words(await boss.sees("gpu: ready", "free: queue · 1 · 0"))
        for wish, answer, state in (
            ("drain", "takes no more jobs", "drained"), ("resume", "takes jobs again", "starting"),
        ):  # fmt: skip
            await boss.say(f"/admin pool {wish} gpu")
            await boss.sees(answer)
            await until(lambda state=state: pool.states["gpu"] == state, f"the device is {state}")
        await ann.say("/admin pool drain gpu")
        await ann.sees("This is for the admins")
        [job] = await life.jobs()
        await boss.say(f"/admin pool cancel {job.id}")
        await boss.sees(f"Job #{job.id} is being cancelled")
        await ann.sees("Cancelled")
    assert pool.states == {"gpu": "starting"}
