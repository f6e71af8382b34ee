"""The fake's gateway: hello, identify, ready, heartbeats, resume, reconnect, invalid session; zlib when asked for."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

BUFFER = 500  # events that a resumed session is given again


@dataclass
class Session:
    """A shard's session; it outlives its connections."""

    id: str
    shard: tuple[int, int]
    seq: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list)
    socket: Socket | None = None


class Socket:
    """One connection, compressed or not."""

    def __init__(self, ws: web.WebSocketResponse, *, compressed: bool) -> None:
        self.ws = ws
        self._deflate = zlib.compressobj() if compressed else None
        self._lock = asyncio.Lock()

    async def send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message)
        async with self._lock:
            if self.ws.closed:
                return None
            try:
                if self._deflate is None:
                    return await self.ws.send_str(text)
                data = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                await self.ws.send_bytes(data)
            except ConnectionError:
                return None


class Gateway:
    def __init__(self, token: str, *, user: dict[str, Any], application: str) -> None:
        self.token, self.user, self.application = token, user, application
        self.url = ""  # set once it listens
        self.heartbeat_ms = 5000
        self.sessions: dict[str, Session] = {}
        self.identifies: list[dict[str, Any]] = []
        self.resumes = self.heartbeats = self.compressed = 0
        self.told = 0  # events of the shop
        self.ready = asyncio.Event()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        compressed = request.query.get("compress") == "zlib-stream"
        self.compressed += compressed
        socket = Socket(ws, compressed=compressed)
        await socket.send({"op": 10, "d": {"heartbeat_interval": self.heartbeat_ms}, "s": None, "t": None})
        async for message in ws:
            if message.type != WSMsgType.TEXT:
                break
            await self._heard(socket, json.loads(message.data))
        return ws

    async def dispatch(self, kind: str, data: dict[str, Any], *, shard: int | None = None) -> None:
        """To every shard's session, or one's; kept for those who are away."""
        self.told += kind.startswith(("ENTITLEMENT", "SUBSCRIPTION"))
        for session in list(self.sessions.values()):
            if shard is None or session.shard[0] == shard:
                await self._event(session, kind, data)

    async def reconnect(self) -> None:
        """Asks every shard to come back and resume."""
        self.ready.clear()
        for session in self.sessions.values():
            if session.socket is not None:
                await session.socket.send({"op": 7, "d": None})

    async def invalidate(self) -> None:
        """Ends every session: the shards have to identify anew."""
        self.ready.clear()
        for session in list(self.sessions.values()):
            if session.socket is not None:
                await session.socket.send({"op": 9, "d": False})
        self.sessions.clear()

    async def drop(self) -> None:
        """Breaks every connection without a word."""
        self.ready.clear()
        for session in self.sessions.values():
            if session.socket is not None and (transport := session.socket.ws._req.transport):
                transport.abort()

    async def _heard(self, socket: Socket, message: dict[str, Any]) -> None:
        match message["op"]:
            case 1:
                self.heartbeats += 1
                await socket.send({"op": 11})
            case 2:
                await self._identify(socket, message["d"])
            case 6:
                await self._resume(socket, message["d"])

    async def _identify(self, socket: Socket, data: dict[str, Any]) -> None:
        self.identifies.append(data)
        if data["token"] != self.token:
            await socket.ws.close(code=4004)
            return
        first, count = data.get("shard", [0, 1])
        session = Session(id=f"session-{len(self.identifies)}", shard=(first, count), socket=socket)
        self.sessions = {key: each for key, each in self.sessions.items() if each.shard != session.shard}
        self.sessions[session.id] = session
        ready = {
            "v": 10, "user": self.user, "guilds": [{"id": "7001", "unavailable": True}], "shard": [first, count],
            "session_id": session.id, "resume_gateway_url": self.url,
            "application": {"id": self.application, "flags": 0},
        }  # fmt: skip
        await self._event(session, "READY", ready)
        self.ready.set()

    async def _resume(self, socket: Socket, data: dict[str, Any]) -> None:
        self.resumes += 1
        session = self.sessions.get(data["session_id"])
        if session is None:
            await socket.send({"op": 9, "d": False})
            return
        session.socket = socket
        for event in session.sent:
            if event["s"] > data["seq"]:
                await socket.send(event)
        await self._event(session, "RESUMED", {})
        self.ready.set()

    async def _event(self, session: Session, kind: str, data: dict[str, Any]) -> None:
        session.seq += 1
        event = {"op": 0, "t": kind, "s": session.seq, "d": data}
        session.sent = [*session.sent[-BUFFER:], event]
        if session.socket is not None:
            await session.socket.send(event)
