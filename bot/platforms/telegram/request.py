"""The SDK's requests over aiohttp: a third of the CPU time of the client that comes with it, at every call."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from telegram.error import NetworkError, TimedOut
from telegram.request import BaseRequest, RequestData

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 50.0  # the API closes idle connections after some 60 s
URGENT = "/answerPreCheckoutQuery"
"""What must not wait for uploads to end: it has connections of its own."""
URGENT_CONNECTIONS = 8


class AiohttpRequest(BaseRequest):
    """Pools `connections`; `upload_seconds` come on top of `read_seconds` where files are sent."""

    def __init__(
        self, *, connections: int, proxy: str | None, read_seconds: float = 5.0, upload_seconds: float = 0.0
    ) -> None:
        self._connections, self._proxy = connections, proxy
        self._read_seconds, self._upload_seconds = read_seconds, upload_seconds
        self._session: aiohttp.ClientSession | None = None
        self._urgent: aiohttp.ClientSession | None = None

    @property
    def read_timeout(self) -> float:
        return self._read_seconds

    async def initialize(self) -> None:
        if self._session is None:
            self._session = self._pool(self._connections)
            self._urgent = self._pool(URGENT_CONNECTIONS)

    async def shutdown(self) -> None:
        sessions = self._session, self._urgent
        self._session = self._urgent = None
        for session in sessions:
            if session is not None:
                await session.close()

    def _pool(self, connections: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=IDLE_SECONDS)
        return aiohttp.ClientSession(
            connector=connector, headers={"User-Agent": self.USER_AGENT}, proxy=self._proxy
        )

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, read_timeout: Any = None,
        write_timeout: Any = None, connect_timeout: Any = None, pool_timeout: Any = None,
    ) -> tuple[int, bytes]:  # fmt: skip
        """Raises NetworkError; TimedOut where nothing was heard in time."""
        pool = self._urgent if url.endswith(URGENT) else self._session
        if pool is None:
            raise RuntimeError("not initialized")
        uploads = request_data is not None and request_data.contains_files
        seconds = _given(read_timeout, self._read_seconds) + (self._upload_seconds if uploads else 0.0)
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS + seconds, sock_connect=CONNECT_SECONDS,
                                        sock_read=seconds)  # fmt: skip
        body = _body(request_data) if request_data is not None else None
        try:
            async with pool.request(method, url, data=body, timeout=timeout) as response:
                return response.status, await response.read()
        except TimeoutError:
            raise TimedOut from None
        except (aiohttp.ClientError, OSError) as error:  # its words may hold the address, and so the token
            raise NetworkError(type(error).__name__) from None


def environment_proxy(url: str) -> str | None:
    """The proxy that the environment names for this address. aiohttp itself asks a thread for it at each request."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _body(request_data: RequestData) -> aiohttp.FormData | dict[str, str] | None:
    fields = request_data.json_parameters
    if not request_data.contains_files:
        return fields or None
    form = aiohttp.FormData(fields)
    for name, (file, data, media_type) in (request_data.multipart_data or {}).items():
        form.add_field(name, data, filename=file, content_type=media_type)
    return form


def _given(seconds: Any, otherwise: float) -> float:
    """What a call asks for, if it does."""
    return otherwise if seconds is None or seconds is BaseRequest.DEFAULT_NONE else float(seconds)
