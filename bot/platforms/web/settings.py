"""What the web platform is given: its settings, the signer it trusts and the probes it publishes.

Each limit that the platform keeps is a field here, so that `config.toml` can set all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec
from aiohttp import web

NAME = web.AppKey("name", str)  # of an app: what people call this instance
PRIVATE_NETWORKS = ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    name: str = "Atelier"  # what people call this instance
    host: str = "127.0.0.1"
    port: int = 8080  # 0 takes a free one: see `WebPlatform.bound`
    public_url: str = ""  # where people reach the page through a proxy, as https://art.example
    hosts: tuple[str, ...] = ()  # further names that a Host header may carry
    trusted_proxies: tuple[str, ...] = ()  # networks whose X-Forwarded-For is believed
    metrics_from: tuple[str, ...] = PRIVATE_NETWORKS  # networks that may read /metrics
    secure_cookies: bool = False  # True behind TLS

    upload_bytes_max: int = 10 * 1024 * 1024
    text_bytes_max: int = (
        256 * 1024
    )  # longer prompts are refused unread; shorter ones are the commands' business
    json_bytes_max: int = 16 * 1024
    bodies_max: int = 16  # bodies that are read at the same time
    body_seconds_max: float = 60
    cards_max: int = 20  # a page of cards

    feeds_max: int = 8  # open streams of one account
    feeds_total_max: int = 2000
    feed_jobs_max: int = 64  # cards that wait for a slow reader before it is told to fetch anew
    heartbeat_seconds: float = 15
    stall_seconds_max: float = 60  # a reader that takes nothing for so long is let go

    cookie_seconds: int = 365 * 86400
    admin_seconds: int = 12 * 3600
    link_seconds: int = 3600  # a media link lives between one and two of these
    shutdown_seconds_max: float = 5


class Signer(Protocol):
    """Signs short payloads; a token of one purpose is never good for another."""

    def sign(self, purpose: str, payload: str, *, expires: int | None = None) -> str: ...

    def verify(self, purpose: str, token: str, *, now: int) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Probes:
    """`health` names each part and says "ok" or what is wrong; `metrics` is Prometheus text."""

    health: Callable[[], Awaitable[dict[str, str]]]
    metrics: Callable[[], Awaitable[bytes]]
