"""The words between the bot and its Ray driver: over the driver's own socket `News`, and the ends of sockets that
each lead to one worker; over these `Begin` and `Began`, then the worker's own frames, and `Gone` at the end."""

from __future__ import annotations

import msgspec

from generators.frames import FrameError
from generators.messages import FromWorker, Wire
from generators.settings import Devices, WorkerSettings


class DriverSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`share`: of a GPU for each worker."""

    address: str
    devices: Devices
    share: float


class News(Wire, frozen=True, kw_only=True):
    """Said every second: the devices that there are, and what is wrong, as a sentence. The last one of a driver that
    has not `joined` says why."""

    joined: bool = True
    devices: tuple[str, ...] = ()
    why: str = ""


class Begin(Wire, frozen=True, kw_only=True):
    """Make an actor with this worker on the device that the settings name."""

    settings: WorkerSettings
    module: str


class Began(Wire, frozen=True, kw_only=True):
    """The actor is there: what is written now reaches its worker."""


class Gone(Wire, frozen=True, kw_only=True):
    """Said in a dead worker's place, as a sentence. `away`: the head of its cluster did not answer any more."""

    why: str
    away: bool = False


_news = msgspec.msgpack.Decoder(News)
_begin = msgspec.msgpack.Decoder(Begin)
_from_driver: msgspec.msgpack.Decoder[FromWorker | Began | Gone] = msgspec.msgpack.Decoder(
    FromWorker | Began | Gone
)


def news(body: bytes) -> News:
    return _news.decode(body)


def begin(body: bytes) -> Begin:
    return _begin.decode(body)


def from_driver(body: bytes) -> FromWorker | Began | Gone:
    """Raises `FrameError`."""
    try:
        return _from_driver.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(f"Not a message of a worker: {error}") from error
