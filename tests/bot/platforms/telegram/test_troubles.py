"""What goes wrong between us and Telegram: floods, lost connections, blocks, conflicts, restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.chat import Address, Card, Picture, TryLater, Undeliverable
from bot.commands import REGISTRY
from bot.platforms.telegram import poller
from bot.platforms.telegram.sheets import Sheet, Sheets
from bot.platforms.telegram.steps import Steps
from tests.bot.platforms.telegram.conftest import Lives
from tests.bot.platforms.telegram.life import Engine, Life
from tests.fakes.telegram import FakeTelegram, Person, keys, until, words
from tests.fakes.telegram.messages import public


def failed(job: int = 9) -> Card:
    return Card(job=job, kind="image", state="failed", prompt="x", status="Your credits are back")


def private(person: Person) -> Address:
    return Address(platform="telegram", place=str(person.id), person=str(person.id))


async def test_a_result_survives_a_flood_of_one_second(life: Life, ann: Person, server: FakeTelegram) -> None:
    server.fail("editMessageMedia", 429, "Too Many Requests: retry after 1", retry_after=1)
    await ann.say("a fox")
    await ann.sees_photo("a fox")
    await life.settled()
    assert len(ann.seen) == 1


async def test_hours_of_flood_are_waited_for_without_asking_again(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    server.fail("sendMessage", 429, "Too Many Requests: retry after 7200", retry_after=7200)
    for _ in range(3):
        with pytest.raises(TryLater) as later:
            await life.platform.deliver(1, private(ann), failed())
        assert later.value.seconds > 7000
    assert len(server.called("sendMessage")) == 1


async def test_floods_in_several_chats_pause_all(life: Life, server: FakeTelegram) -> None:
    server.fail("sendMessage", 429, "Too Many Requests", retry_after=600, times=10)
    for number in range(6):
        with pytest.raises(TryLater):
            await life.platform.deliver(1, private(Person(server, 700 + number)), failed(number + 1))
    assert len(server.called("sendMessage")) == 3


async def test_lost_connections_and_errors_of_theirs_are_tried_later(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    for trouble in (
        lambda: server.drop("sendMessage"),
        lambda: server.fail("sendMessage", 502, "Bad Gateway"),
    ):
        trouble()
        with pytest.raises(TryLater):
            await life.platform.deliver(1, private(ann), failed())
    await life.platform.deliver(1, private(ann), failed())
    assert len(ann.seen) == 1


async def test_an_edit_whose_answer_was_lost_is_not_sent_again(
    life: Life, ann: Person, server: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.platforms.telegram.wire.LOST_SECONDS", 0.2)
    server.fail("editMessageMedia", 502, "Bad Gateway", after=True)
    await ann.say("a fox")
    await ann.sees_photo("a fox")
    await life.settled(seconds=15)
    assert len(ann.seen) == 1


async def test_who_blocked_the_bot_finds_the_result_in_jobs(life: Life, ann: Person) -> None:
    life.engine.gate.clear()
    await ann.say("a fox")
    await ann.sees("Step")
    ann.block()
    life.engine.gate.set()
    await life.settled()
    ann.unblock()
    await ann.say("/jobs")
    await ann.sees("could not be brought to you")
    await ann.sees_photo("a fox")


async def test_a_status_message_that_was_deleted_is_replaced_by_the_result(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    life.engine.gate.clear()
    await ann.say("a fox")
    status = await ann.sees("Step")
    server.chat(ann.id).messages.pop(status["message_id"])
    life.engine.gate.set()
    await ann.sees_photo("a fox")
    assert len(ann.seen) == 1


async def test_a_refused_photo_is_a_document_and_broken_markup_is_plain(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    server.fail("editMessageMedia", 400, "Bad Request: IMAGE_PROCESS_FAILED")
    server.fail("sendPhoto", 400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
    await ann.say("a fox")
    file = await ann.finds(lambda each: "document" in each, "a document")
    assert keys(file)[0] == "Again"
    server.fail("sendMessage", 400, "Bad Request: can't parse entities: Unsupported start tag")
    await ann.say("/help")
    plain = await ann.sees("Atelier")
    assert plain["entities"] == []
    assert "<b>" not in words(plain)


async def test_an_answer_to_a_picture_that_came_as_a_document_is_about_the_picture(
    lives: Lives, ann: Person, server: FakeTelegram, tmp_path: Path
) -> None:
    """Also of a model that starts from words only, whose pictures have fewer buttons."""
    (tmp_path / "model_index.json").write_text('{"_class_name": "AuraFlowPipeline"}')
    await lives.begin(environ={"ATELIER_MODELS_TINY_SOURCE": str(tmp_path)})
    server.fail("editMessageMedia", 400, "Bad Request: IMAGE_PROCESS_FAILED")
    server.fail("sendPhoto", 400, "Bad Request: PHOTO_INVALID_DIMENSIONS")
    await ann.say("a fox")
    file = await ann.finds(lambda each: "document" in each, "a document")
    assert keys(file) == ["Again", "Details", "Original", "Delete"]
    await ann.say("make it night", reply=file)
    assert "makes pictures from words only" in words(await ann.sees("from words only"))


async def test_a_chat_that_does_not_exist_is_undeliverable(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    server.fail("sendMessage", 400, "Bad Request: chat not found")
    with pytest.raises(Undeliverable):
        await life.platform.deliver(1, private(ann), failed())


async def test_pictures_that_are_gone_leave_a_sentence(life: Life, ann: Person) -> None:
    card = Card(
        job=9, kind="image", state="done", prompt="x", status="Done",
        pictures=(Picture(artifact=4711, width=8, height=8, alt="x"),),
    )  # fmt: skip
    await life.platform.deliver(1, private(ann), card)
    assert words(ann.last) == "Done"


async def test_another_poller_is_waited_for(
    life: Life, ann: Person, server: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.platforms.telegram.poller.CONFLICT_SECONDS", 0.1)
    server.fail("getUpdates", 409, "Conflict: terminated by other getUpdates request")
    server.fail("getUpdates", 502, "Bad Gateway")
    await ann.say("wake the poll")
    await ann.sees_photo("wake")
    await ann.say("a fox")
    await ann.sees_photo("a fox")


async def test_restart_in_the_middle_is_invisible(lives: Lives, ann: Person, server: FakeTelegram) -> None:
    life = await lives.begin()
    life.engine.gate.clear()
    await ann.say("a fox")
    status = await ann.sees("Step")
    life = await lives.restart()
    result = await ann.sees_photo("a fox")
    assert result["message_id"] == status["message_id"]
    await ann.press(result, "Again")
    await life.settled(2)
    await ann.say("make it night", reply=result)
    await ann.sees_photo("make it night")
    assert (await life.jobs())[-1].origin == (await life.jobs())[0].id


async def test_an_update_that_comes_again_after_a_restart_shows_no_second_status(
    lives: Lives, ann: Person, server: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_yet(*_: object) -> bool:
        return False

    life = await lives.begin()
    life.engine.gate.clear()
    said = await ann.say("a fox")
    await ann.sees("Step")
    waiting = Engine()
    waiting.gate.clear()
    monkeypatch.setattr(Steps, "show", not_yet)  # the update comes before the job is drawn again
    life = await lives.restart(engine=waiting)
    await server.push(message=public(said))
    await ann.say("a cat")
    await until(lambda: len(ann.seen) > 1)
    waiting.gate.set()
    await life.settled(2)
    await ann.sees_photo("a cat")
    assert len(ann.seen) == 2


async def test_updates_that_came_while_it_was_down_are_handled_once(
    lives: Lives, ann: Person, server: FakeTelegram
) -> None:
    life = await lives.begin()
    await ann.say("/help")
    await ann.sees("Atelier")
    await life.end()
    seen = len(ann.seen)
    await ann.say("a fox")
    await ann.say("a whale")
    life = lives.now = await Life(lives.url, lives.folder, server).begin()
    await ann.sees_photo("a fox")
    await ann.sees_photo("a whale")
    await life.settled(2)
    assert len(await life.jobs()) == 2
    assert len(ann.seen) == seen + 2


async def test_an_update_that_comes_again_after_a_crash_makes_nothing_new(
    lives: Lives, ann: Person, server: FakeTelegram
) -> None:
    life = await lives.begin()
    await ann.say("a fox")
    kept = list(server.updates)
    result = await ann.sees_photo("a fox")
    await ann.press(result, "Again")
    await life.settled(2)
    life.engine.gate.clear()
    waits = await ann.say("a whale")
    await ann.sees("line")
    await life.end()
    again = {"update_id": 900_000, "message": waits}
    server.updates = [*kept, again]
    engine = Engine()
    engine.gate.clear()
    life = lives.now = await Life(lives.url, lives.folder, server, engine=engine).begin()
    await until(lambda: server.updates == [], "all are handled")
    assert len(ann.seen) == 3
    engine.gate.set()
    await ann.sees_photo("a whale")
    await life.settled(3)
    assert len(await life.jobs()) == 3
    assert len(ann.seen) == 3


async def test_a_status_that_comes_after_the_result_is_not_kept(life: Life, ann: Person) -> None:
    await ann.say("a fox")
    await ann.sees_photo("a fox")
    await life.settled()
    job = (await life.jobs())[0].id
    assert not await Sheets(life.database).keep(Sheet(job), ann.id, 4711)
    loaded = Sheet(job)
    await Sheets(life.database).load(loaded)
    assert loaded.status != 4711


async def test_an_update_is_not_confirmed_before_it_is_handled(
    life: Life, ann: Person, server: FakeTelegram
) -> None:
    going, real = asyncio.Event(), life.service.run

    async def slow(invocation: object) -> object:
        if getattr(invocation, "text", "") == "slow":
            await going.wait()
        return await real(invocation)  # type: ignore[arg-type]

    life.service.run = slow  # type: ignore[method-assign]
    await ann.say("slow")
    await ann.say("fast")
    await ann.sees_photo("fast")
    await asyncio.sleep(3 * poller.PENDING_SECONDS)
    waiting = server.updates[0]
    assert waiting["message"]["text"] == "slow"
    assert server.confirmed <= waiting["update_id"]
    going.set()
    await ann.sees_photo("slow")
    await until(lambda: server.updates == [])
    assert len(await life.jobs()) == 2


async def test_one_poller_among_several_processes(
    lives: Lives, ann: Person, server: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.platforms.telegram.poller.LOOK_SECONDS", 0.1)
    first = await lives.begin()
    second = await Life(lives.url, lives.folder, server, alone=False).begin()
    try:
        await ann.say("a fox")
        await ann.sees_photo("a fox")
        assert first.engine.requests or second.engine.requests
        await first.end()
        lives.now = None
        await ann.say("a whale")
        await ann.sees_photo("a whale")
        await second.settled(2)
    finally:
        await second.end()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_after_a_crash_another_process_hears_within_ten_seconds(
    database_url: str, tmp_path: Path, server: FakeTelegram, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert poller.LEASE_SECONDS + poller.LOOK_SECONDS <= 10
    monkeypatch.setattr(poller, "LEASE_SECONDS", 1)
    monkeypatch.setattr(poller, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(poller, "CONFLICT_SECONDS", 0.1)

    async def dead(self: poller.Poller) -> None:
        """Whoever was killed confirms nothing and frees no lease."""

    first = await Life(database_url, tmp_path, server, alone=False).begin()
    await ann.say("a fox")
    await ann.sees_photo("a fox")
    second = await Life(database_url, tmp_path, server, alone=False).begin()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(poller.Poller, "_abdicate", dead)
            await first.end()
        server.fail("getUpdates", 409, "Conflict: terminated by other getUpdates request")  # its last poll
        await ann.say("a whale")
        await ann.sees_photo("a whale", seconds=5)
        await second.settled(2)
        assert len(await second.jobs()) == 2
    finally:
        await second.end()


async def test_it_starts_when_the_api_comes_back(lives: Lives, ann: Person, server: FakeTelegram) -> None:
    server.fail("getMe", 502, "Bad Gateway")
    server.fail("deleteWebhook", 429, "Too Many Requests", retry_after=1)
    server.hook = {"url": "http://127.0.0.1:9/left-over"}
    await lives.begin()
    await until(lambda: server.hook is None, "the webhook is gone")
    await ann.say("a fox")
    await ann.sees_photo("a fox")


async def test_files_over_the_limits_are_documents_or_sentences(
    life: Life, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.platforms.telegram.results.PHOTO_BYTES_MAX", 10)
    await ann.say("a fox")
    result = await ann.finds(lambda each: "document" in each, "a document")
    assert "a fox" in words(result)
    monkeypatch.setattr("bot.platforms.telegram.results.FILE_BYTES_MAX", 10)
    await ann.press(result, "Original")
    await ann.sees("over Telegram's 50 MB")


async def test_both_databases_keep_the_status_over_a_restart(
    database_url: str, tmp_path: Path, server: FakeTelegram, ann: Person
) -> None:
    life = await Life(database_url, tmp_path, server).begin()
    life.engine.gate.clear()
    await ann.say("a fox")
    status = await ann.sees("line")
    await until(lambda: life.engine.requests)
    await life.end()
    life = await Life(database_url, tmp_path, server).begin()
    try:
        assert (await ann.sees_photo("a fox"))["message_id"] == status["message_id"]
        await life.settled()
    finally:
        await life.end()


async def test_menus_are_set_by_language_and_scope_only_when_they_changed(
    lives: Lives, server: FakeTelegram
) -> None:
    await lives.begin()
    await until(lambda: len(server.called("setMyCommands")) == 6)
    assert {language for _, language in server.menus} == {"", "zh"}
    everywhere = {tuple(each["command"] for each in menu) for menu in server.menus.values()}
    assert sum("setup" in menu for menu in everywhere) == 1
    assert set().union(*everywhere) == {*REGISTRY, "sell"} - {"press", "claim", "admin"}
    await lives.restart()
    await asyncio.sleep(0.3)
    assert len(server.called("setMyCommands")) == 6


async def test_the_token_and_prompts_stay_out_of_the_log(
    life: Life,
    ann: Person,
    server: FakeTelegram,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    server.fail("sendMessage", 400, "Bad Request: something new")
    await ann.say("my secret wish")
    await ann.sees_photo("my secret wish")
    out, err = capfd.readouterr()
    said = out + err + caplog.text
    assert "secret wish" not in said
    assert "ABCdefGHI" not in said
