"""Requests go through the proxy that the environment names."""

from __future__ import annotations

import asyncio

import pytest

from bot.platforms.telegram.request import AiohttpRequest, environment_proxy

API = "http://api.example"


async def test_a_proxy_of_the_environment_takes_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        monkeypatch.setenv("http_proxy", f"http://ann:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}")
        request = AiohttpRequest(connections=1, proxy=environment_proxy(API))
        await request.initialize()
        assert await request.do_request(f"{API}/getMe", "POST") == (200, b"{}")
        await request.shutdown()
    assert heard[0].startswith(b"POST http://api.example/getMe ")
    assert b"Proxy-Authorization: Basic" in heard[0]


def test_an_address_that_the_environment_excludes_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "localhost,api.example")
    assert environment_proxy(API) is None
