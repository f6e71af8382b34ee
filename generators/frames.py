"""Messages as frames: four bytes of length (big-endian), then msgpack. Both ends of every socket use this."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from generators.messages import FromWorker, ToWorker

FRAME_BYTES_MAX: Final = 256 * 1024 * 1024
HEADER_BYTES: Final = 4

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


class FrameError(Exception):
    """A frame that is too large or does not hold a known message: the connection is of no more use."""


def frame(message: msgspec.Struct) -> bytes:
    """Raises `FrameError` for a message above `FRAME_BYTES_MAX`."""
    return framed(_encoder.encode(message))


def framed(body: bytes) -> bytes:
    """An encoded message with its length before it. Raises `FrameError`."""
    return struct.pack(">I", _bounded(len(body))) + body


def length(header: bytes) -> int:
    """How many bytes follow. Raises `FrameError`."""
    return _bounded(int(struct.unpack(">I", header)[0]))


def to_worker(body: bytes) -> ToWorker:
    try:
        return _to_worker.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(f"Not a message for a worker: {error}") from error


def from_worker(body: bytes) -> FromWorker:
    try:
        return _from_worker.decode(body)
    except msgspec.MsgspecError as error:
        raise FrameError(f"Not a message of a worker: {error}") from error


def _bounded(size: int) -> int:
    if size > FRAME_BYTES_MAX:
        raise FrameError(f"A frame of {size} bytes is above the limit of {FRAME_BYTES_MAX}.")
    return size
