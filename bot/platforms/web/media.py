"""Artifacts on their way to a browser, through links that are signed and expire."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from aiohttp import web

from bot.chat import Chat, Media
from bot.platforms.web.errors import Refusal
from bot.platforms.web.settings import Signer

# Types a browser may show by itself; everything else is handed over as a file.
SHOWN = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
MEDIA_CSP = "default-src 'none'; sandbox; frame-ancestors 'none'"


class Links:
    """Makes and opens media links. All links to an artifact within one period are equal, so browsers cache."""

    def __init__(self, *, signer: Signer, clock: Callable[[], int], seconds: int) -> None:
        self._signer = signer
        self._clock = clock
        self._seconds = seconds

    def link(self, artifact: int) -> str:
        expires = (self._clock() // self._seconds + 2) * self._seconds
        return f"/media/{self._signer.sign('media', str(artifact), expires=expires)}"

    def artifact(self, token: str) -> int | None:
        if not token.isascii():
            return None
        payload = self._signer.verify("media", token, now=self._clock())
        return int(payload) if payload is not None and payload.isdigit() else None


class MediaRoutes:
    def __init__(self, *, chat: Chat, links: Links) -> None:
        self._chat = chat
        self._links = links

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/media/{token}", self.media)]

    async def media(self, request: web.Request) -> web.Response:
        artifact = self._links.artifact(request.match_info["token"])
        if artifact is None:
            raise Refusal(410, "web-error-link")
        media = await self._chat.media(artifact)
        if media is None:
            raise Refusal(404, "web-error-gone")
        return file_response(media, download="download" in request.query)


def file_response(media: Media, *, download: bool) -> web.Response:
    shown = media.media_type in SHOWN and not download
    return web.Response(
        body=media.data,
        headers={
            "Content-Type": media.media_type if media.media_type in SHOWN else "application/octet-stream",
            "Content-Disposition": disposition(media.name, shown=shown),
            "Content-Security-Policy": MEDIA_CSP,
            "Cache-Control": "private, max-age=3600, immutable",
        },
    )


def disposition(name: str, *, shown: bool) -> str:
    """RFC 6266: a name in ASCII for old clients, the true one beside it."""
    plain = "".join(
        letter if (letter.isascii() and letter.isalnum()) or letter in "._-" else "_" for letter in name
    )
    kind = "inline" if shown else "attachment"
    return f"{kind}; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(name, safe='')}"
