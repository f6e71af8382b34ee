"""Who is let in: hosts, origins, tokens, cookies, networks."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest
from aiohttp.test_utils import make_mocked_request

from bot.platforms.web.guard import client_network, host_allowed, may_read_metrics
from bot.platforms.web.language import preferred
from bot.platforms.web.settings import WebSettings
from tests.bot.platforms.web.conftest import Site, Visitor

FORM = {"event": "0" * 32, "command": "help", "text": ""}


async def post(visitor: Visitor, **headers: str) -> tuple[int, str]:
    form = aiohttp.FormData(FORM, default_to_multipart=True)
    sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
    async with visitor.session.post(f"{visitor.site.url}/api/say", data=form, headers=sent) as response:
        return response.status, (await response.json()).get("error", "")


async def test_a_name_that_was_rebound_to_us_is_refused(site: Site, visitor: Visitor) -> None:
    for path in ("/", "/api/cards", "/static/app.js"):
        async with visitor.session.get(site.url + path, headers={"Host": "evil.example"}) as response:
            assert response.status == 421
            assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:80", "art.example", "box.lan:1"])
def test_our_own_names_are_known(host: str) -> None:
    assert host_allowed(host, WebSettings(public_url="https://art.example", hosts=("box.lan",)))


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "10.0.0.7", "[", "localhost@x"]
)
def test_other_names_are_not(host: str) -> None:
    assert not host_allowed(host, WebSettings())


def test_any_bare_address_will_do_where_all_interfaces_are_served() -> None:
    settings = WebSettings(host="0.0.0.0")
    assert host_allowed("192.168.1.5:8080", settings)
    assert not host_allowed("evil.example", settings)


async def test_posts_from_elsewhere_are_refused(site: Site, visitor: Visitor) -> None:
    token = visitor.csrf
    assert (await post(visitor, Origin=site.url, X_CSRF=token))[0] == 200
    assert (await post(visitor, Sec_Fetch_Site="same-origin", X_CSRF=token))[0] == 200
    for origin in ("https://evil.example", "null", site.url.replace("http:", "ftp:"), site.url + "1"):
        status, sentence = await post(visitor, Origin=origin, X_CSRF=token)
        assert (status, "another site" in sentence) == (403, True), origin
    assert (await post(visitor, X_CSRF=token))[0] == 403
    assert (await post(visitor, Sec_Fetch_Site="cross-site", X_CSRF=token))[0] == 403


async def test_the_token_is_bound_to_the_cookie(site: Site, visitor: Visitor, stranger: Visitor) -> None:
    for token in ("", "nonsense", stranger.csrf, visitor.csrf[:-1] + "A", "é"):
        status, sentence = await post(visitor, Origin=site.url, X_CSRF=token)
        assert status == 403, token
        assert "reload" in sentence
    assert site.chat.invocations == []


@pytest.mark.parametrize("cookie", ["", "x", "00000000.." + "A" * 16, "a.b.c.d", "\u00e9..x", "x" * 5000])
async def test_forged_cookies_are_nobody(site: Site, cookie: str) -> None:
    headers = {"Cookie": f"atelier={cookie}"} if cookie else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        for path in ("/api/cards", "/api/feed"):
            async with session.get(site.url + path) as response:
                assert response.status == 401
                assert "reload" in (await response.json())["error"]
    assert site.chat.accounts == {}


async def test_the_cookie_is_kept_from_scripts_and_other_sites(site: Site) -> None:
    async with aiohttp.ClientSession() as session, session.get(site.url) as response:
        cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=31536000" in cookie


async def test_every_answer_carries_the_security_headers(site: Site, visitor: Visitor) -> None:
    for path in ("/", "/static/app.js", "/api/cards", "/nowhere", "/healthz"):
        async with visitor.session.get(site.url + path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "same-origin"
            assert "Server" not in response.headers


def asked(peer: str, forwarded: str = ""):
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = make_mocked_request("GET", "/", headers=headers)
    return request.clone(remote=peer)


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        ("203.0.113.9", "", "203.0.113.9/32"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "", "203.0.113.9/32"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9/32"),  # not a proxy of ours: not believed
        ("10.0.0.1", "198.51.100.1", "198.51.100.1/32"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1/32"),  # the first was made up
        ("10.0.0.1", "nonsense", "10.0.0.1/32"),
    ],
)
def test_a_network_is_what_a_client_cannot_choose(peer: str, forwarded: str, network: str) -> None:
    assert client_network(asked(peer, forwarded), WebSettings(trusted_proxies=("10.0.0.0/8",))) == network


def test_metrics_are_for_the_neighbourhood() -> None:
    settings = WebSettings(trusted_proxies=("10.0.0.1/32",))
    assert may_read_metrics(asked("127.0.0.1"), settings)
    assert not may_read_metrics(asked("203.0.113.9"), settings)
    assert not may_read_metrics(asked("127.0.0.1", "203.0.113.9"), settings)
    assert not may_read_metrics(asked("10.0.0.1", "203.0.113.9"), settings)


async def test_probes_say_how_it_stands(site: Site, visitor: Visitor) -> None:
    async with visitor.session.get(f"{site.url}/healthz", headers={"Host": "10.1.1.1"}) as response:
        assert (response.status, await response.json()) == (200, {"database": "ok"})
    site.health["devices"] = "no worker answers"
    async with visitor.session.get(f"{site.url}/healthz") as response:
        assert response.status == 503
    async with visitor.session.get(f"{site.url}/metrics") as response:
        assert await response.text() == "atelier_jobs 1\n"


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("fr, zh;q=0.3", "zh"),
        ("en;q=0.2, zh;q=oops", "en"),
        ("de", "en"),
    ],
)
def test_the_browser_says_which_language_it_prefers(header: str, locale: str) -> None:
    assert preferred(header) == locale


def test_settings_have_a_limit_on_everything() -> None:
    assert all(field.default is not msgspec.NODEFAULT for field in msgspec.structs.fields(WebSettings))
