"""Signed links: to artifacts, and to the operators' tables."""

from __future__ import annotations

import aiohttp
import msgspec

from bot.chat import Media, Table
from bot.platforms.web.drawing import admin_page, is_number
from bot.platforms.web.media import disposition, file_response
from bot.platforms.web.settings import WebSettings
from bot.signing import Signer
from tests.bot.platforms.web.conftest import Site, Visitor, free_port, serving
from tests.bot.platforms.web.test_api import settled


async def picture_url(visitor: Visitor) -> str:
    await visitor.say("imagine", "a red apple")
    card = await settled(visitor)
    return card["pictures"][0]["url"]


async def test_a_picture_is_shown_or_handed_over(visitor: Visitor) -> None:
    url = visitor.site.url + await picture_url(visitor)
    async with visitor.session.get(url) as response:
        assert response.headers["Content-Disposition"].startswith("inline")
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"].startswith("private")
    async with visitor.session.get(f"{url}?download=1") as response:
        assert response.headers["Content-Disposition"].startswith('attachment; filename="')


async def test_links_expire_and_cannot_be_altered(site: Site, visitor: Visitor) -> None:
    url = await picture_url(visitor)
    assert url == (await settled(visitor))["pictures"][0]["url"]  # equal links are cached
    foreign = Signer(b"z" * 32).sign("media", "10", expires=site.now + 60)
    other_purpose = Signer(b"k" * 32).sign("account", "10")
    for token in (
        url.replace("media/", "media/1"),
        f"/media/{foreign}",
        f"/media/{other_purpose}",
        "/media/x",
    ):
        async with visitor.session.get(site.url + token) as response:
            assert response.status in {404, 410}, token
    site.now += 2 * site.settings.link_seconds + 1
    async with visitor.session.get(site.url + url) as response:
        assert response.status == 410
        assert "expired" in await response.text()


async def test_a_deleted_picture_is_gone(site: Site, visitor: Visitor) -> None:
    url = await picture_url(visitor)
    site.chat.jobs.clear()
    async with visitor.session.get(site.url + url) as response:
        assert response.status == 404
        assert "deleted" in await response.text()


def test_only_pictures_are_shown_by_the_browser() -> None:
    page = Media(data=b"<script>", media_type="text/html", name="x.html")
    response = file_response(page, download=False)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"].startswith("attachment")


def test_names_cannot_end_the_header() -> None:
    made = disposition('苹果"\r\nX: 1.png', shown=True)
    assert "\r" not in made
    assert made.count('"') == 2
    assert "filename*=UTF-8''%E8%8B%B9%E6%9E%9C%22%0D%0A" in made


async def test_the_admin_link_works_once(site: Site, visitor: Visitor, stranger: Visitor) -> None:
    entry = f"{site.url}/admin?token=good-token"
    async with visitor.session.get(entry) as response:
        page = await response.text()
        assert (response.status, response.url.path, response.url.query_string) == (200, "/admin/queue", "")
        assert "&lt;script&gt;alert(1)" in page
        assert "<script" not in page
    async with stranger.session.get(entry) as response:
        assert response.status == 403
        assert "used or has expired" in await response.text()
    for path, status in (("/admin/accounts", 200), ("/admin/nope", 404), ("/admin", 200)):
        async with visitor.session.get(site.url + path) as response:
            assert response.status == status
    for path in ("/admin", "/admin/queue", "/admin?token="):
        async with stranger.session.get(site.url + path) as response:
            assert response.status == 403
    site.now += site.settings.admin_seconds + 1
    async with visitor.session.get(f"{site.url}/admin/queue") as response:
        assert response.status == 403


async def test_every_page_bears_the_name_of_the_instance(settings: WebSettings) -> None:
    named = msgspec.structs.replace(settings, name="Les <Ateliers>", port=free_port())
    async with serving(named) as site, aiohttp.ClientSession() as session:
        for path in ("/", "/nowhere", "/paid", "/admin?token=good-token"):
            async with session.get(f"{site.url}{path}") as response:
                assert "Les &lt;Ateliers&gt;</span>" in await response.text(), path


async def test_admin_pages_turn(site: Site, visitor: Visitor) -> None:
    async with visitor.session.get(f"{site.url}/admin?token=good-token") as response:
        assert "?page=1" in await response.text()
    async with visitor.session.get(f"{site.url}/admin/accounts?page=99999999999") as response:
        assert "Nothing here" in await response.text()


def test_tables_escape_everything() -> None:
    hostile = '"><img src=x onerror=alert(1)>'
    table = Table(title=hostile, columns=(hostile,), rows=((hostile,),))
    page = admin_page(hostile, "zh", table, sections=(hostile,), section=hostile, page=1)
    assert "<img" not in page


def test_numbers_are_told_from_words() -> None:
    assert [cell for cell in ("12.5", "-3", "1,000", "", "a1", "1.2.3") if is_number(cell)] == [
        "12.5",
        "-3",
        "1,000",
    ]
