"""Where other servers call us: their bodies, bounded, given raw to whoever can tell that they are genuine.

`Hook` of `signed_hook`: 200 once the news is kept, 400 for what is not signed, 413, 408; 503 to have it again
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from bot.payments.provider import Forged
from storage.database import DatabaseUnavailable

SIGNATURE = "Stripe-Signature"
BYTES_MAX = 512 * 1024
"""An event holds one object: tens of kilobytes."""
SECONDS_MAX = 10.0
Hook = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = structlog.stdlib.get_logger(__name__)


def signed_hook(hear: Callable[[bytes, str], Awaitable[None]]) -> Hook:
    """`hear` is given the raw body and its signature; it raises Forged, or keeps the news and returns."""

    async def hook(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(SECONDS_MAX):
                body = await _bounded(request)
            if body is None:
                return web.Response(status=413)
            await hear(body, request.headers.get(SIGNATURE, ""))
        except Forged:
            log.warning("hook.forged", route=request.path)
            return web.Response(status=400)
        except TimeoutError:
            return web.Response(status=408)
        except DatabaseUnavailable:
            return web.Response(status=503)
        return web.Response(status=200)

    return hook


async def _bounded(request: web.Request) -> bytes | None:
    """The body; None if it is too long, of which no more than the limit is read."""
    if (request.content_length or 0) > BYTES_MAX:
        return None
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > BYTES_MAX:
            return None
    return bytes(body)
