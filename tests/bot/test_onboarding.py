"""Tokens are tried before anything starts, over real sockets against small stand-ins of both platforms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from bot import onboarding, settings
from bot.config import Config
from bot.onboarding import TokenTrouble


@pytest.fixture
async def config() -> AsyncIterator[Config]:
    async def application(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bot good":
            return web.json_response({"message": "401: Unauthorized"}, status=401)
        return web.json_response({"id": "900", "name": "Painter", "flags": 1 << 18, "bot_public": True})

    async def me(request: web.Request) -> web.Response:
        if request.match_info["token"] != "1:good":
            return web.json_response(
                {"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401
            )
        known = {"username": "painter_bot", "can_join_groups": True, "can_read_all_group_messages": True}
        return web.json_response({"ok": True, "result": known})

    async def webhook(_: web.Request) -> web.Response:
        return web.json_response({"ok": True, "result": {"url": ""}})

    async def broken(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    app = web.Application()
    app.add_routes([
        web.get("/api/applications/@me", application), web.get("/bot{token}/getMe", me),
        web.get("/bot{token}/getWebhookInfo", webhook), web.get("/broken/applications/@me", broken),
    ])  # fmt: skip
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    root = f"http://127.0.0.1:{port}"
    yield settings.load(None, {"ATELIER_DISCORD_API_BASE": f"{root}/api", "ATELIER_TELEGRAM_API_BASE": root})
    await runner.cleanup()


async def test_a_good_discord_token_gives_links_with_least_permissions(config: Config) -> None:
    found = await onboarding.discord(config, "good")
    assert found[0] == "Discord: this is Painter."
    assert any("privileged intents are on" in each for each in found)
    asked = parse_qs(urlsplit(next(each for each in found if each.startswith("Add it to a server"))).query)
    assert int(asked["permissions"][0]) & 8 == 0  # never administrator
    assert "client_id" in found[-1]


async def test_a_good_telegram_token_names_the_bot_and_its_privacy_mode(config: Config) -> None:
    found = await onboarding.telegram(config, "1:good")
    assert "@painter_bot" in found[0]
    assert "privacy mode is off" in found[1]


async def test_what_is_wrong_is_said_with_its_fix_and_without_the_token(config: Config) -> None:
    with pytest.raises(TokenTrouble, match="Reset Token"):
        await onboarding.discord(config, "bad-secret")
    with pytest.raises(TokenTrouble, match="BotFather") as trouble:
        await onboarding.telegram(config, "1:bad-secret")
    assert "secret" not in str(trouble.value)
    nowhere = settings.load(None, {"ATELIER_TELEGRAM_API_BASE": "http://127.0.0.1:1"})
    with pytest.raises(TokenTrouble, match="check the network") as trouble:
        await onboarding.telegram(nowhere, "1:bad-secret")
    assert "secret" not in str(trouble.value)


async def test_tokens_are_kept_where_only_the_owner_reads_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    path.write_text("OTHER=1\nATELIER_DISCORD_TOKEN=old\n")
    onboarding.keep({"ATELIER_DISCORD_TOKEN": "new"}, path)
    assert path.read_text().split() == ["OTHER=1", "ATELIER_DISCORD_TOKEN=new"]
    assert path.stat().st_mode & 0o777 == 0o600
