"""The process that speaks with Ray: `python -m generators.ray_driver --fd N --settings JSON`.

Ray holds its process's interpreter for seconds while it joins a cluster, and ends the process when the cluster's head
is gone. So it has one of its own, and chats and ledger go on beside it. It tells the bot every second which devices
there are; for each worker the bot hands it the end of a socket. It leaves when the bot does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import ray

from generators import faults, frames
from generators.connection import Connection
from generators.ray_actor import Actor, off_loop
from generators.ray_messages import Began, DriverSettings, Gone, News, begin
from generators.ray_places import Place, places
from generators.transport import WorkerGone

_LOOK_SECONDS = 1.0
_AWAY_SECONDS = 5.0
_LEAVE_SECONDS = 5.0
_AWAY = "The head of the cluster does not answer. What runs goes on; if it stays away, Ray gives up."
_ray: Any = ray


class Driver:
    def __init__(self, control: socket.socket, settings: DriverSettings) -> None:
        self._control, self._settings = control, settings
        self._places: dict[str, Place] = {}
        self._seen = time.monotonic()
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Until the bot is gone."""
        loop = asyncio.get_running_loop()
        await self._look()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow()), group.create_task(self._tell())]
            loop.add_reader(self._control, self._welcome, group)
            await self._leaving.wait()
            loop.remove_reader(self._control)
            loop.call_later(_LEAVE_SECONDS, os._exit, 0)
            for task in tasks:
                task.cancel()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        with contextlib.suppress(Exception):  # Ray raises what it likes when the head is away
            nodes = await off_loop(_ray.nodes)
            found = places(nodes, self._settings.devices, self._settings.share)
            self._places = {place.name: place for place in found}
            self._seen = time.monotonic()

    async def _tell(self) -> None:
        with contextlib.suppress(OSError):  # the bot is gone, as `_welcome` sees too
            while True:
                why = _AWAY if self._is_away() else ""
                news = frames.frame(News(devices=tuple(self._places), why=why))
                await asyncio.get_running_loop().sock_sendall(self._control, news)
                await asyncio.sleep(_LOOK_SECONDS)

    def _welcome(self, group: asyncio.TaskGroup) -> None:
        try:
            said, ends, *_ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            said, ends = b"", []
        if not said:
            self._leaving.set()
        for end in ends:
            group.create_task(self._serve(socket.socket(fileno=end)))

    async def _serve(self, end: socket.socket) -> None:
        """One worker, from the making of its actor until either side is gone."""
        connection = await Connection.over(end)
        with contextlib.suppress(WorkerGone):
            asked = begin(await connection.read())
            if place := self._places.get(asked.settings.device):
                await self._relay(connection, Actor(place, asked))
            else:
                connection.write(frames.frame(Gone(why="Its node has left the cluster.")))
        connection.close()

    async def _relay(self, connection: Connection, actor: Actor) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_to_bot(actor, connection))
                group.create_task(_to_worker(connection, actor))
        except* WorkerGone as gone:
            connection.write(frames.frame(Gone(why=str(gone.exceptions[0]), away=self._is_away())))
        finally:
            await actor.kill()

    def _is_away(self) -> bool:
        return time.monotonic() - self._seen > _AWAY_SECONDS


async def _to_bot(actor: Actor, connection: Connection) -> None:
    await actor.start()
    connection.write(frames.frame(Began()))
    while True:
        for body in await actor.receive():
            connection.write(frames.framed(body))
        await connection.written()


async def _to_worker(connection: Connection, actor: Actor) -> None:
    """Nothing is written before `Began`, so that until then only the end is read."""
    while True:
        await actor.send(frames.framed(await connection.read()))


def _join(address: str) -> None:
    """Actors find modules beside the script that `argv` names: there ours would be without their package."""
    sys.argv[0] = str(Path(__file__).parents[1] / "atelier")
    local = {} if address else {"include_dashboard": False}
    _ray.init(address=address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **local)


def _hush() -> None:
    """Ray tells of every death in pages of addresses and states, in colour; its own logs keep them."""
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def main() -> NoReturn:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--settings", required=True)
    arguments = parser.parse_args()
    settings = msgspec.json.decode(arguments.settings, type=DriverSettings)
    control = socket.socket(fileno=arguments.fd)
    ours = os.fdopen(os.dup(2), "w")
    _hush()
    try:
        _join(settings.address)
    except Exception as error:  # Ray raises what it likes
        control.sendall(frames.frame(News(joined=False, why=f"It cannot be joined: {faults.summary(error)}")))
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the bot drains, then ends this
        signal.signal(number, signal.SIG_IGN)
    control.setblocking(False)
    try:
        asyncio.run(Driver(control, settings).run())
    except Exception as error:
        sys.stderr = ours
        faults.print_frames(error)
        os._exit(1)
    _ray.shutdown()
    os._exit(0)  # what of Ray's threads is left has nothing to finish


if __name__ == "__main__":
    main()
