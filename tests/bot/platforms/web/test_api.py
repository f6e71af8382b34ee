"""The page's calls over real sockets: what is understood, what is refused, and how it is said."""

from __future__ import annotations

import asyncio
import json
import uuid

import aiohttp
import pytest

from bot.chat import Audience
from bot.platforms.web.settings import WebSettings
from tests.bot.platforms.web.conftest import Site, Visitor, free_port

XSS = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


async def settled(visitor: Visitor) -> dict[str, object]:
    async with asyncio.timeout(5):
        while True:
            cards = (await visitor.cards())["cards"]
            if cards and all(card["ended"] for card in cards):
                return cards[0]
            await asyncio.sleep(0.02)


async def test_a_prompt_becomes_a_card_with_a_picture(visitor: Visitor) -> None:
    status, reply = await visitor.say("imagine", "a red apple")
    assert status == 200
    assert reply["cards"][0]["state"] == "waiting"
    card = await settled(visitor)
    async with visitor.session.get(visitor.site.url + card["pictures"][0]["url"]) as response:
        assert response.status == 200
        assert response.content_type == "image/png"


async def test_what_was_sent_arrives_whole(site: Site, visitor: Visitor) -> None:
    text = "  שלום “quotes”\nsecond line \U0001f98a\u0007 "
    await visitor.say("write", text, origin="12", private="1", picture=b"\x89PNG")
    (invocation,) = site.chat.invocations
    assert (invocation.text, invocation.origin, invocation.command) == (text, 12, "write")
    assert invocation.address.audience is Audience.PRIVATE
    assert invocation.attachments[0].name == "cat.png"
    assert site.chat.uploads == [b"\x89PNG"]
    assert invocation.person.network == "127.0.0.1/32"


async def test_an_empty_picture_is_one_nevertheless(site: Site, visitor: Visitor) -> None:
    """Whoever sent it believes that it is used: the command must say that it is none."""
    await visitor.say("imagine", "a fox", picture=b"")
    assert site.chat.uploads == [b""]


async def test_the_same_event_twice_is_one_job(site: Site, visitor: Visitor) -> None:
    event = uuid.uuid4().hex
    first = await visitor.say("imagine", "a fox", event=event)
    again = await visitor.say("imagine", "a fox", event=str(uuid.UUID(event)))
    assert first[1]["cards"][0]["job"] == again[1]["cards"][0]["job"]
    assert len(site.chat.jobs) == 1


async def test_nobody_can_name_anothers_event(site: Site, visitor: Visitor, stranger: Visitor) -> None:
    event = uuid.uuid4().hex
    await visitor.say("imagine", "a fox", event=event)
    await stranger.say("imagine", "an owl", event=event)
    assert len(site.chat.jobs) == 2


async def test_a_stranger_sees_nothing_of_mine(visitor: Visitor, stranger: Visitor) -> None:
    await visitor.say("imagine", "a secret")
    card = await settled(visitor)
    assert (await stranger.cards())["cards"] == []
    status, reply = await stranger.press(card["buttons"][0]["id"])
    assert (status, reply["refused"]) == (200, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"event": "not-a-uuid"},
        {"command": "press"},
        {"command": "../x"},
        {"command": ""},
        {"origin": "-1"},
        {"origin": "9" * 30},
        {"origin": "١٢"},
        {"extra": "field"},
    ],
)
async def test_forms_that_no_page_sends_are_refused(visitor: Visitor, fields: dict[str, str]) -> None:
    whole = {"command": "imagine", "text": "x"} | fields
    command, text = whole.pop("command"), whole.pop("text")
    status, reply = await visitor.say(command, text, **whole)
    assert status == 400
    assert "understood" in reply["error"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nnot a header\r\n\r\nbody"),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=" + "y" * 300, b"--y"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Type: multipart/mixed; boundary=z\r\n\r\n--z--\r\n--x--",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="text"\r\nContent-Encoding: gzip\r\n\r\nzz\r\n--x--',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="text"\r\nContent-Transfer-Encoding: odd\r\n\r\nzz\r\n--x--',
        ),
        ("application/json", b"{}"),
        ("text/plain", b"hello"),
    ],
)
async def test_broken_forms_have_a_clear_answer(visitor: Visitor, kind: str, body: bytes) -> None:
    headers = visitor.headers | {"Content-Type": kind}
    async with visitor.session.post(f"{visitor.site.url}/api/say", data=body, headers=headers) as response:
        assert response.status == 400
        assert "understood" in (await response.json())["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"event": 1}', b"\xff\xfe", b'{"event":"x","button":null}']
)
async def test_broken_json_has_a_clear_answer(visitor: Visitor, body: bytes) -> None:
    async with visitor.session.post(
        f"{visitor.site.url}/api/press", data=body, headers=visitor.headers
    ) as response:
        assert response.status == 400
        assert (await response.json())["error"]


async def test_what_is_too_large_is_refused_early(site: Site, visitor: Visitor) -> None:
    large = b"x" * (site.settings.upload_bytes_max + 1)
    status, reply = await visitor.say("imagine", "x", picture=large)
    assert (status, "10 MB" in reply["error"]) == (413, True)
    assert (await visitor.say("imagine", "x" * (site.settings.text_bytes_max + 1)))[0] == 413
    assert (await visitor.press("x" * site.settings.json_bytes_max))[0] == 413
    assert (await visitor.say("imagine", "x" * 100_000))[0] == 200
    assert len(site.chat.invocations) == 1


async def test_a_body_without_a_length_is_counted_too(visitor: Visitor) -> None:
    async def endless():
        for _ in range(100):
            yield b" " * 4096

    async with visitor.session.post(
        f"{visitor.site.url}/api/press", data=endless(), headers=visitor.headers
    ) as response:
        assert response.status == 413


async def test_a_body_that_dawdles_loses_its_turn() -> None:
    async def dawdling():
        yield b"{"
        await asyncio.sleep(2)

    site = Site(settings=WebSettings(port=free_port(), body_seconds_max=0.1, shutdown_seconds_max=0.1))
    await site.start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        visitor = Visitor(site=site, session=session)
        await visitor.open()
        url = f"{site.url}/api/press"
        async with session.post(url, data=dawdling(), headers=visitor.headers) as response:
            assert response.status == 408
    await site.stop()


async def test_without_scripts_a_sentence_says_so(visitor: Visitor) -> None:
    assert '<noscript><p class="notice">This page needs JavaScript' in await visitor.open()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nowhere", 404),
        ("GET", "/nowhere", 404),
        ("DELETE", "/api/cards", 405),
        ("GET", "/api/say", 405),
        ("GET", "/static/..%2f..%2fclient.py", 404),
        ("GET", "/static/index.html", 404),
        ("GET", "/api/cards?before=x", 400),
        ("GET", "/media/%ff", 410),
    ],
)
async def test_wrong_addresses_answer_in_sentences(
    visitor: Visitor, method: str, path: str, status: int
) -> None:
    headers = visitor.headers | {"Accept-Language": "zh-CN"}
    async with visitor.session.request(method, visitor.site.url + path, headers=headers) as response:
        text = await response.text()
        assert response.status == status
    said = json.loads(text)["error"] if path.startswith("/api") else text
    assert any("\u4e00" <= letter <= "\u9fff" for letter in said)


async def test_a_failure_inside_says_so_and_logs_no_prompt(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    status, reply = await visitor.say("explode", "a very private wish")
    assert (status, "again" in reply["error"]) == (500, True)
    logged = capsys.readouterr().out
    assert "web.failed" in logged
    assert "RuntimeError" in logged
    assert "secret prompt" not in logged
    assert "private wish" not in logged


async def test_hostile_words_stay_words_in_the_page(site: Site, visitor: Visitor) -> None:
    page = await visitor.open(**{"Accept-Language": XSS})
    assert "alert(1)" not in page
    async with visitor.session.get(f"{site.url}/?lang={XSS}") as response:
        assert "alert(1)" not in await response.text()


async def test_the_language_is_remembered(visitor: Visitor) -> None:
    url = f"{visitor.site.url}/api/language"
    async with visitor.session.post(url, json={"locale": "zh"}, headers=visitor.headers) as response:
        assert response.status == 200
    assert 'lang="zh-Hans"' in await visitor.open(**{"Accept-Language": "en"})
    async with visitor.session.post(url, json={"locale": "fr"}, headers=visitor.headers) as response:
        assert response.status == 400


async def test_older_cards_come_page_by_page(site: Site, visitor: Visitor) -> None:
    site.chat.step_seconds = 0
    for number in range(25):
        await visitor.say("imagine", f"picture {number}")
    first = await visitor.cards()
    second = await visitor.cards(before=first["cards"][-1]["job"])
    assert (len(first["cards"]), first["more"]) == (20, True)
    assert (len(second["cards"]), second["more"]) == (5, False)
