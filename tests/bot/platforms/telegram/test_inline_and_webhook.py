"""`@bot prompt` in any chat, and updates that Telegram pushes."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import aiohttp
import pytest

from tests.bot.platforms.telegram.conftest import Lives, site
from tests.bot.platforms.telegram.life import Life
from tests.fakes.telegram import FakeTelegram, Person, until

VAULT = -1009
SECRET = "s3cret"


async def test_without_a_vault_people_are_sent_to_the_private_chat(life: Life, ann: Person) -> None:
    answer = await ann.type_inline("a fox")
    assert json.loads(str(answer["results"]).replace("'", '"')) == []
    assert answer["button"]["start_parameter"] == "inline"


async def test_a_placeholder_becomes_the_picture(lives: Lives, ann: Person, server: FakeTelegram) -> None:
    await lives.begin(environ={"ATELIER_TELEGRAM_VAULT_CHAT": str(VAULT)})
    answer = await ann.type_inline("a fox")
    [offer] = answer["results"]
    assert offer["description"] == "a fox"
    assert offer["reply_markup"]["inline_keyboard"]
    message = await ann.choose(offer["id"], "a fox")
    await until(lambda: "photo" in server.inline[message], "the picture")
    assert "a fox" in server.inline[message]["caption"]
    assert "Made with AI" in server.inline[message]["caption"]
    [kept] = server.chat(VAULT).messages.values()
    assert kept["photo"][-1]["file_id"] == server.inline[message]["photo"][-1]["file_id"]


async def test_a_refusal_and_a_failure_take_the_placeholders_place(
    lives: Lives, ann: Person, server: FakeTelegram
) -> None:
    await lives.begin(environ={"ATELIER_TELEGRAM_VAULT_CHAT": str(VAULT)})
    refused = await ann.choose("make", "a fox --stepz 3")
    await until(lambda: "--steps" in server.inline[refused].get("text", ""), "the refusal")
    failed = await ann.choose("make", "please fail")
    await until(lambda: "credits are back" in server.inline[failed].get("text", ""), "the failure")


async def test_a_private_inline_result_is_sent_to_the_person(
    lives: Lives, ann: Person, server: FakeTelegram
) -> None:
    await lives.begin(environ={"ATELIER_TELEGRAM_VAULT_CHAT": str(VAULT)})
    message = await ann.choose("make", "a secret --private")
    await ann.sees_photo("a secret")
    await until(lambda: "private" in server.inline[message].get("text", ""))
    assert server.chat(VAULT).messages == {}


async def test_pushed_updates_are_handled_once_and_only_with_the_secret(
    lives: Lives, ann: Person, server: FakeTelegram
) -> None:
    async with site() as (_, mounted, url):
        environ = {"ATELIER_TELEGRAM_WEBHOOK_URL": url.replace("http://127.0.0.1", "https://127.0.0.1")}
        life = await lives.begin(environ={**environ, "ATELIER_TELEGRAM_WEBHOOK_SECRET": SECRET})
        mounted.append(life)
        await until(lambda: server.hook is not None, "the webhook is set")
        assert server.hook is not None
        assert server.hook["secret_token"] == SECRET
        server.hook_at = url
        message = await ann.say("a fox")
        await ann.sees_photo("a fox")
        update = {"update_id": 1, "message": {**message, "message_id": 8000, "text": "a whale"}}
        good = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        async with aiohttp.ClientSession() as session:

            async def push(body: bytes, headers: dict[str, str]) -> int:
                async with session.post(url, data=body, headers=headers) as response:
                    return response.status

            whole = json.dumps(update).encode()
            assert await push(whole, {}) == 403
            assert await push(whole, {"X-Telegram-Bot-Api-Secret-Token": "wrong"}) == 403
            assert await push(b"no json", good) == 200
            assert await push(b'{"update_id": 2, "message": {}}', good) == 200
            assert await push(b"x" * (2 << 20), good) == 413
            assert [await push(whole, good) for _ in range(2)] == [200, 200]
        await ann.sees_photo("a whale")
        await life.settled(2)
        assert len(await life.jobs()) == 2
        assert server.called("getUpdates") == []


@pytest.mark.parametrize("minutes", [-20, 20])
async def test_pushed_updates_and_old_buttons_do_not_mind_a_clock_that_is_off(
    lives: Lives, ann: Person, server: FakeTelegram, minutes: int
) -> None:
    async with site() as (_, mounted, url):
        server.hook_at = url
        environ = {
            "ATELIER_TELEGRAM_WEBHOOK_URL": url.replace("http://127.0.0.1", "https://127.0.0.1"),
            "ATELIER_TELEGRAM_WEBHOOK_SECRET": SECRET,
        }
        mounted.append(await lives.begin(environ=environ))
        await until(lambda: server.hook is not None, "the webhook is set")
        await ann.say("a fox", date=int(time.time()) + minutes * 60)
        message = await ann.sees_photo("a fox")
        mounted.append(await lives.restart(environ=environ, ahead=timedelta(minutes=minutes)))
        await ann.press(message, "Again")
        await mounted[-1].settled(2)
        assert len(await mounted[-1].jobs()) == 2
