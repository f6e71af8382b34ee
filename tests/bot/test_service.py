"""Whatever comes in is answered with a sentence: bad input, other people's things, storage that is away, our own bugs.

Each refusal charges nothing and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import io
import struct
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image
from sqlalchemy import text
from structlog.testing import capture_logs

from bot.chat import Action, Person
from generators import requests
from storage import accounts, artifacts, jobs
from storage.blobs import Blobs, BlobsUnavailable, open_blobs
from storage.database import Database, DatabaseUnavailable, Session
from tests.bot.commands.stage import Open, Stage, button, stage
from tests.bot.jobs.world import hangs

WORKING = {
    "emoji only": "🍎🚀",
    "emoji with joiners": "👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈",
    "right to left": "תפוח אדום על שולחן",
    "marks of direction": "apple \u202e elppa \u2067x\u2069",
    "sql": "'; DROP TABLE jobs; -- and \" OR 1=1",
    "html": '<img src=x onerror="alert(1)"></script><script>alert(1)</script>',
    "shell": "$(rm -rf /) `id` && ; | > /etc/passwd ${HOME} %s %n",
    "template braces": "{{7*7}} {prompt} {0.__class__} #{1} <%= 1 %>",
    "fluent placeables": '{ $x } { price } { "a" } { -brand } .attr = x',
    "markdown": "**bold** `code` [link](javascript:alert(1)) ||spoiler|| @everyone",
    "combining marks": "a" + "\u0301" * 200,
    "full width": "一只ｃａｔ，站在月亮上",
    "new lines": "one\ntwo\r\nthree",
    "unusual spaces": "red\u00a0apple\u3000on\u2028a table",
}
CONTROL = [
    "a\x00red\x00apple",
    "\x1b[31mred apple\x07",
    "\x01\x02\x03 apple",
    "\ufffe\uffff apple",
    "apple \x7f\x85",
]
HOSTILE = [
    "x --steps -1", "x --steps 1e9", "x --steps 0x10", "x --steps NaN", "x --cfg inf", "x --cfg -inf", "x --cfg nan",
    "x --cfg 1e400", "x --seed -5", "x --seed 99999999999999999999999", "x --seed 1.5", "x --size 0x0",
    "x --size 99999x99999", "x --size -64x64", "x --size 64", "x --ar 0:1", "x --ar 1:0", "x --ar 1000:1", "x --ar :",
    "x -n 0", "x -n 1000000", "x --model ../../etc/passwd", "x --model '; DROP TABLE jobs; --",
    "x --style {prompt}", "x --style __proto__", "x --strength 2", "x --strength nan", "x --scheduler os.system",
    "x --lora ../../x:9", "x --steps", "x --unknown 1", "x --steps 5 --steps 6 --size 64x64 --ar 1:1",
    "x --length 10", "x --kind poem",
]  # fmt: skip


@pytest.fixture
async def play(open_stage: Open) -> Stage:
    return await open_stage()


@pytest.fixture
async def open_stage(sqlite_template: Path, tmp_path: Path) -> Any:
    async def opened(**environ: str) -> Stage:
        path = tmp_path / "a.db"
        path.write_bytes(sqlite_template.read_bytes())
        made = stage(f"sqlite:///{path}", tmp_path, **environ)
        entered.append(made)
        return await made.__aenter__()

    entered: list[Any] = []
    yield opened
    for each in entered:
        await each.__aexit__(None, None, None)


async def nothing_happened(play: Stage, by: str = "ann") -> None:
    account = await play.world.person(by)
    assert await play.world.real.read(jobs.of_account, account) == []
    assert await play.credits(by) in (0, 20)


# --- prompts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORKING)
async def test_unusual_prompts_are_prompts(database_url: str, tmp_path: Path, name: str) -> None:
    async with stage(database_url, tmp_path, ATELIER_PLANS_FREE_WAITING="9") as play:
        card = await play.made("imagine", WORKING[name])
        assert card.state == "done"
        request = requests.decode((await play.world.job(card.job)).request)
        assert isinstance(request, requests.TextToImage)
        assert request.prompt.split()[0] == unicodedata.normalize("NFC", WORKING[name]).split()[0]
        details = await play.press(button(card, Action.DETAILS))
        assert not details.refused
        edit = await play.press(button(card, Action.EDIT))
        assert edit.draft is not None
        again = await play.say("imagine", edit.draft)
        assert not again.refused, again.text


@pytest.mark.parametrize("prompt", CONTROL)
@pytest.mark.parametrize("command", ["imagine", "write", "settings", "jobs", "help", "admin"])
async def test_control_characters_do_no_harm(
    database_url: str, tmp_path: Path, prompt: str, command: str
) -> None:
    async with stage(database_url, tmp_path) as play:
        with capture_logs() as logs:
            reply = await play.say(command, prompt)
        assert "command.broken" not in [each["event"] for each in logs]
        assert reply.text or reply.cards
        for card in reply.cards:
            assert (await play.ended(card.job)).state == "done"
            assert "\x00" not in card.prompt


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "x" * 5000, "‮evil", "💥"])
async def test_names_of_people_do_no_harm(database_url: str, tmp_path: Path, name: str) -> None:
    async with stage(database_url, tmp_path) as play:
        assert await play.service.account(Person(platform="test", id="eve", name=name)) > 0


@pytest.mark.parametrize("command", ["imagine", "write"])
async def test_a_prompt_of_100_kb_is_refused_with_the_limit(play: Stage, command: str) -> None:
    for prompt in ("x" * 100_000, "apple " * 17_000, "--steps " * 12_500, "🍎" * 25_000):
        reply = await play.say(command, prompt)
        assert reply.refused
        assert len(reply.text) < 1000
    assert "a prompt has at most 8000" in (await play.say(command, "x" * 100_000)).text
    await nothing_happened(play)


@pytest.mark.parametrize("command", ["imagine", "write"])
@pytest.mark.parametrize("prompt", ["", " ", "\n\n", "\u200b", "\u2060\ufeff", "--steps 5", "\x00"])
async def test_nothing_to_make_is_said(play: Stage, command: str, prompt: str) -> None:
    reply = await play.say(command, prompt)
    assert reply.refused
    assert reply.text
    await nothing_happened(play)


@pytest.mark.parametrize("prompt", HOSTILE)
async def test_hostile_options_are_refused_with_what_would_be_right(play: Stage, prompt: str) -> None:
    reply = await play.say("imagine", prompt)
    assert reply.refused, reply.cards
    assert "went wrong on our side" not in reply.text
    chinese = await play.say("imagine", prompt, locale="zh")
    assert chinese.refused
    assert chinese.text != reply.text
    await nothing_happened(play)


# --- pictures -----------------------------------------------------------------------------------------------


def encoded(kind: str, size: tuple[int, int] = (64, 48), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=100, loop=0)
    return file.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few kilobytes whose header promises gigabytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
        + chunk(b"IEND", b"")
    )  # fmt: skip


REFUSED_PICTURES = {
    "empty": (b"", "picture"),
    "words": (b"#!/bin/sh\nrm -rf /", "This is not a PNG, JPEG or WebP picture."),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "not a PNG, JPEG or WebP"),
    "truncated png": (encoded("PNG")[:600], "cut off"),
    "truncated jpeg": (encoded("JPEG")[:600], "cut off"),
    "decompression bomb": (bomb(), "too many pixels"),
    "only a magic number": (b"\x89PNG\r\n\x1a\n", "picture"),
    "too many bytes": (b"\x89PNG" + b"x" * (10 * 1024 * 1024 + 1), "too large: 10 MB is the most"),
}


@pytest.mark.parametrize("name", REFUSED_PICTURES)
async def test_pictures_that_cannot_be_used_are_refused(play: Stage, name: str) -> None:
    data, said = REFUSED_PICTURES[name]
    reply = await play.say("imagine", "an apple", picture=data)
    assert reply.refused, name
    assert said in reply.text
    await nothing_happened(play)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
async def test_an_animation_is_its_first_picture_or_refused(play: Stage, kind: str) -> None:
    reply = await play.say("imagine", "an apple", picture=animated(kind))
    if reply.refused:
        assert "PNG, JPEG or WebP" in reply.text
        await nothing_happened(play)
    else:
        assert (await play.ended(reply.cards[0].job)).state == "done"


@pytest.mark.parametrize("name", ["cat.txt", "", "../../etc/passwd", "a\x00.png", "x" * 5000, "cat.exe"])
async def test_a_picture_is_known_by_its_content_not_by_its_name(play: Stage, name: str) -> None:
    card = await play.made("imagine", "an apple", picture=encoded("JPEG"), name=name)
    assert card.state == "done"


# --- events, buttons, people ----------------------------------------------------------------------------------


async def test_a_redelivered_event_is_answered_the_same_and_charged_once(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as play:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(play.say("imagine", "an apple", event="same")) for _ in range(8)]
        [job] = {each.result().cards[0].job for each in asked}
        await play.ended(job)
        late = await play.say("imagine", "an apple", event="same")
        assert (late.cards[0].job, late.cards[0].state) == (job, "done")
        assert await play.credits() == 19


async def test_two_people_never_share_an_event(play: Stage) -> None:
    first = await play.say("imagine", "an apple", event="same")
    second = await play.say("imagine", "an apple", event="same", by="bob")
    assert first.cards[0].job != second.cards[0].job


async def test_a_button_for_a_job_that_never_was(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    job = msgspec.structs.replace(await play.world.job(card.job), id=2**62)
    for action in (Action.AGAIN, Action.DELETE, Action.CANCEL, Action.ORIGINAL):
        assert (await play.press(play.buttons.make(action, job, "en").id)).refused


@pytest.mark.parametrize("origin", [0, -1, 10**6, 2**63 - 1])
async def test_an_answer_to_nothing_is_refused(database_url: str, tmp_path: Path, origin: int) -> None:
    async with stage(database_url, tmp_path) as play:
        assert "deleted" in (await play.say("imagine", "an apple", origin=origin)).text
        await nothing_happened(play)


async def test_a_cleared_cookie_gets_no_second_allowance(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as play:
        await play.made("imagine", "an apple", by="cookie-1", network="198.51.100.7")
        reply = await play.say("imagine", "an apple", by="cookie-2", network="198.51.100.7")
        assert reply.refused
        assert "went to another session" in reply.text
        assert await play.credits("cookie-2") == 0
        await play.made("imagine", "an apple", by="cookie-1", network="198.51.100.7")
        await play.made("imagine", "an apple", by="elsewhere", network="203.0.113.9")


async def test_old_rows_of_what_the_configuration_lost_still_show_and_work(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as play:
        card = await play.made("imagine", "an apple --style ink")
        account = await play.world.person()

        def age(session: Session) -> None:
            session.execute(
                text("UPDATE jobs SET model = 'bygone', tier = 'platinum', words = 'an apple --style bygone'")
            )
            session.execute(text("UPDATE accounts SET plan = 'platinum'"))

        await play.world.real.run(age)
        [shown] = await play.service.cards(Person(platform="test", id="ann"))
        assert shown.pictures
        assert "bygone" in shown.label
        assert "**Model:** bygone" in (await play.press(button(card, Action.DETAILS))).text
        edit = await play.press(button(card, Action.EDIT))
        assert "There is no style `bygone`" in (await play.say("imagine", edit.draft or "")).text
        assert "Plan **Free**" in (await play.say("balance")).text
        assert (await play.made("imagine", "a pear")).state == "done"
        assert await play.world.real.read(accounts.get, account)


# --- storage that is away -------------------------------------------------------------------------------------


class Away(Database):
    """A server that nobody can reach."""

    def __init__(self, real: Database) -> None:
        self.signals = real.signals

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        raise DatabaseUnavailable("the server is away")

    read = schema = run

    async def close(self) -> None: ...


class FullBlobs(Blobs):
    def __init__(self, folder: Path) -> None:
        super().__init__(open_blobs(str(folder))._store)

    async def put(self, key: str, data: bytes) -> None:
        raise BlobsUnavailable("could not write: no space left")


async def test_a_database_that_is_away_is_said_and_comes_back(play: Stage) -> None:
    away = play.but(database=Away(play.world.real))
    for command in ("imagine", "write", "jobs", "balance", "settings", "admin"):
        reply = await away.say(command, "an apple")
        assert reply.refused
        assert "nothing was done or charged" in reply.text
    assert (await play.made("imagine", "an apple")).state == "done"


async def test_a_full_disk_refuses_and_loses_nothing(play: Stage) -> None:
    """The database may not grow by a page more."""
    kept = await play.made("imagine", "an apple")
    await play.world.real.run(_grow_at_most, 0)
    answers = [await play.say("imagine", "an apple " * 300, event=f"full-{number}") for number in range(12)]
    refused = [each for each in answers if "I can't save anything right now" in each.text]
    assert refused
    before = await play.credits()
    await play.world.real.run(_grow_at_most, 2**30)
    assert [card.job for card in await play.service.cards(Person(platform="test", id="ann"))][-1] == kept.job
    for each in answers:
        if each.cards:
            await play.ended(each.cards[0].job)
    assert await play.credits() == before
    assert (await play.made("imagine", "an apple")).state == "done"


def _grow_at_most(session: Session, pages: int) -> None:
    now_pages = session.scalar(text("PRAGMA page_count")) or 0
    session.execute(text(f"PRAGMA max_page_count = {now_pages + pages if pages < 2**30 else 2**30}"))


async def test_an_upload_to_a_full_store_is_refused(play: Stage, tmp_path: Path) -> None:
    full = play.but(blobs=FullBlobs(tmp_path / "full"))
    reply = await full.say("imagine", "an apple", picture=encoded("PNG"))
    assert "nothing was done or charged" in reply.text
    await nothing_happened(play)


async def test_a_result_that_cannot_be_stored_gives_everything_back(play: Stage, tmp_path: Path) -> None:
    play.world.dispatcher._blobs = FullBlobs(tmp_path / "full")
    card = await play.made("imagine", "an apple")
    assert card.state == "failed"
    assert "could not be saved. Your credits are back" in card.status
    assert await play.credits() == 20


async def test_a_file_that_is_gone_leaves_its_card(play: Stage) -> None:
    card = await play.made("imagine", "an apple")
    made = (await play.world.real.read(artifacts.of_jobs, [card.job]))[card.job]
    await play.world.blobs.delete([made[0].blob])
    assert await play.service.media(made[0].id) is None
    [shown] = await play.service.cards(Person(platform="test", id="ann"))
    assert shown.job == card.job
    varied = await play.press(button(card, Action.VARY))
    failed = await play.ended(varied.cards[0].job)
    assert failed.state == "failed"
    assert (
        "could not be read any more, or the size does not suit the model. Your credits are back"
        in failed.status
    )
    assert await play.credits() == 19


async def test_a_bug_of_ours_is_a_sentence_and_the_log_has_no_prompt(play: Stage) -> None:
    def broken() -> int:
        raise RuntimeError("secret apple")

    with capture_logs() as logs:
        reply = await play.but(seed=broken).say("imagine", "a secret apple")
    assert reply.text == "Something went wrong on our side. Nothing was charged; try again."
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["command.broken"]
    assert "secret" not in str(logs)
    await nothing_happened(play)


async def test_prompts_never_reach_the_log(play: Stage) -> None:
    with capture_logs() as logs:
        await play.made("imagine", "a confidential apple")
        play.world.engine.script = hangs
        await play.say("imagine", "a confidential pear", by="bob")
        await play.say("imagine", "confidential --stepz 3")
    assert "confidential" not in str(logs)
