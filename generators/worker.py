"""One device's process: `python -m generators.worker --fd N --settings JSON`.

Three threads: the main one runs the engine (see `loop`), a reader fills the inbox, a third sends heartbeats. The
parent owns this process: it drains and kills it, so terminal signals are ignored, and when its end of the socket
closes this process exits at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import NoReturn, assert_never

import msgspec

from generators import engine, frames
from generators.engine import Host
from generators.inbox import Inbox
from generators.job import Job
from generators.loop import Loop
from generators.messages import (
    Accepted,
    Cancel,
    FromWorker,
    Heartbeat,
    Load,
    Ready,
    Stop,
    Submit,
    ToWorker,
    Unload,
)
from generators.models import Model
from generators.residency import Residency
from generators.settings import WorkerSettings


class Channel:
    """The socket to the parent. Any thread may send; one thread receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self.turn = threading.RLock()  # held while a message is made, its facts are not overtaken

    def send(self, message: FromWorker) -> None:
        raw = frames.frame(message)
        with self.turn:
            try:
                self._connection.sendall(raw)
            except OSError:
                leave()

    def receive(self) -> ToWorker:
        return frames.to_worker(self._exactly(frames.length(self._exactly(frames.HEADER_BYTES))))

    def _exactly(self, size: int) -> bytes:
        raw = self._stream.read(size)
        return raw if len(raw) == size else leave()


class Worker:
    def __init__(self, channel: Channel, settings: WorkerSettings) -> None:
        self.inbox = Inbox()
        self.host = Host(settings)
        self._channel = channel
        self._settings = settings
        self._residency: Residency | None = None

    def read(self) -> NoReturn:
        """The reader's thread."""
        try:
            while True:
                self._receive(self._channel.receive())
        finally:
            leave()

    def beat(self) -> NoReturn:
        """The heartbeat's thread."""
        while True:
            running, waiting = self.inbox.counts()
            with self._channel.turn:
                self._channel.send(self._heartbeat(running, waiting))
            time.sleep(self._settings.heartbeat_seconds)

    def _heartbeat(self, running: int, waiting: int) -> Heartbeat:
        return Heartbeat(
            stalled_seconds=self.host.pulse.stalled_seconds(),
            running=running,
            waiting=waiting,
            loading=self.host.pulse.loading,
            stepping=self.host.pulse.stepping,
            resident=self._residency.sizes() if self._residency else {},
            rows=self.host.pulse.rows(),
        )

    def run(self) -> NoReturn:
        """The main thread. Torch is imported here, when the heartbeat already runs."""
        from generators import hardware

        device = self._settings.device
        hardware.prepare(device, self._settings.threads)
        memory_bytes = self._settings.memory_bytes or hardware.memory_bytes(device, self._settings.gpu_share)
        self._residency = residency = self._make_residency(memory_bytes)
        loop = Loop(
            self.inbox, residency, self.host, send=self._channel.send, works=lambda: hardware.works(device)
        )
        self._channel.send(Ready(device=device, name=hardware.name(device), memory_bytes=memory_bytes))
        loop.run()

    def _make_residency(self, memory_bytes: int) -> Residency:
        from generators import hardware

        return Residency(
            memory_bytes=memory_bytes,
            load=lambda model: engine.load(model, self.host),
            expect=self.expected_bytes,
            sweep=hardware.sweep,
            send=self._channel.send,
        )

    def expected_bytes(self, model: Model) -> int:
        """0 for a hub id that was not downloaded, or only in part."""
        from generators import hardware, shelf, weights

        source = weights.resolve(model, Path(self._settings.cache))
        if isinstance(source, str):
            return shelf.memory_bytes(model, self._settings.device) or 0
        return weights.elements(source) * hardware.dtype(model, self._settings.device).itemsize

    def _receive(self, message: ToWorker) -> None:
        match message:
            case Submit():
                self._channel.send(Accepted(job=message.job))
                self.inbox.put(Job(message, self._channel.send))
            case Cancel():
                self.inbox.cancel(message.job)
            case Load() | Unload():
                self.inbox.put(message)
            case Stop():
                leave()
            case _:
                assert_never(message)


def leave() -> NoReturn:
    """Nothing in here is worth finishing, and threads inside native code would not let go."""
    os._exit(0)


def main() -> NoReturn:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--settings", required=True)
    arguments = parser.parse_args()
    settings = msgspec.json.decode(arguments.settings, type=WorkerSettings)
    _be_quiet(settings)
    worker = Worker(Channel(socket.socket(fileno=arguments.fd)), settings)
    threading.Thread(target=worker.read, daemon=True, name="reader").start()
    threading.Thread(target=worker.beat, daemon=True, name="heartbeat").start()
    worker.run()


def _be_quiet(settings: WorkerSettings) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ[name] = "error"  # their warnings quote prompts
    for name in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    if settings.device == "cpu":
        os.nice(5)  # the bot's event loop shares these cores


if __name__ == "__main__":
    main()
