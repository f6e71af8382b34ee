"""Reading what a client sends, within limits of size, time and number. Knows nothing of what it means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from bot.platforms.web.errors import Refusal
from bot.platforms.web.settings import WebSettings
from bot.platforms.web.translate import Form

TEXT_FIELDS = frozenset({"event", "command", "text", "origin", "private"})
PARTS_MAX = 12
NAME_CHARACTERS_MAX = 120
T = TypeVar("T")

# All that aiohttp's multipart reader raises for a body that is not one.
BROKEN = (
    HttpProcessingError,
    ValueError,
    AssertionError,
    RuntimeError,
    LookupError,
    EOFError,
    web.HTTPBadRequest,
)


class Bodies:
    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.bodies_max)

    async def json(self, request: web.Request, kind: type[T]) -> T:
        """A JSON body of this shape. Raises `Refusal`."""
        self._check_length(request, bytes_max=self._settings.json_bytes_max)
        async with self._slot():
            data = await request.content.read(self._settings.json_bytes_max + 1)
            while len(data) <= self._settings.json_bytes_max and (more := await request.content.readany()):
                data += more
        if len(data) > self._settings.json_bytes_max:
            raise self._too_large()
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Refusal(400, "web-error-body") from None

    async def form(self, request: web.Request) -> Form:
        """A multipart body: text fields and at most one picture. Raises `Refusal`."""
        settings = self._settings
        self._check_length(request, bytes_max=settings.upload_bytes_max + settings.text_bytes_max + 65536)
        if request.content_type != "multipart/form-data":
            raise Refusal(400, "web-error-body")
        async with self._slot():
            try:
                return await self._read_parts(await request.multipart())
            except BROKEN:
                raise Refusal(400, "web-error-body") from None

    async def _read_parts(self, reader: MultipartReader) -> Form:
        fields: dict[str, str] = {}
        picture, picture_name = b"", ""
        for _ in range(PARTS_MAX):
            part = await reader.next()
            if part is None:
                return Form(fields=fields, picture=picture, picture_name=picture_name)
            if not isinstance(part, BodyPartReader):
                raise Refusal(400, "web-error-body")
            if part.name == "picture" and not picture:
                picture = await self._read(part, bytes_max=self._settings.upload_bytes_max)
                picture_name = plain_name(part.filename or "")
            elif part.name in TEXT_FIELDS and part.name not in fields:
                data = await self._read(part, bytes_max=self._settings.text_bytes_max)
                fields[part.name] = data.decode("utf-8", "replace").replace("\r\n", "\n")
            else:
                raise Refusal(400, "web-error-body")
        raise Refusal(400, "web-error-body")

    async def _read(self, part: BodyPartReader, *, bytes_max: int) -> bytes:
        data = bytearray()
        while chunk := await part.read_chunk(65536):
            data += chunk
            if len(data) > bytes_max:
                raise self._too_large()
        return bytes(data)

    def _check_length(self, request: web.Request, *, bytes_max: int) -> None:
        if (request.content_length or 0) > bytes_max:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        return Refusal(413, "web-error-large", megabytes=max(1, self._settings.upload_bytes_max >> 20))

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None, None]:
        """A turn to read a body. A client that dawdles loses it."""
        try:
            async with asyncio.timeout(self._settings.body_seconds_max), self._slots:
                yield
        except TimeoutError:
            raise Refusal(408, "web-error-slow") from None


def plain_name(name: str) -> str:
    """The last part of a file's name, printable and short."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(letter for letter in last if letter.isprintable())[:NAME_CHARACTERS_MAX]
