"""A worker without models, as a process: `python -m tests.generators.stub`. Its prompts say how it behaves.

    draw       a picture that is the job's inputs, one after the other
    say N      N tokens, then the text; `say N die`: it dies after the last token
    draw die   dies when the picture has been sent
    run        a step every 10 ms until it is cancelled, or the file `stop` lies in the cache folder
    die        in the middle of the job
    hang       says nothing more, not even a heartbeat
    stall      beats, but reports a step that has lasted an hour
Its name is its process id. One job at a time; what waits is cancelled at once.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
import time
from pathlib import Path

import msgspec

from generators import frames
from generators.messages import (
    Accepted,
    Cancel,
    Cancelled,
    Failed,
    FromWorker,
    Heartbeat,
    Load,
    Loaded,
    Progress,
    Ready,
    Result,
    Submit,
    Token,
)
from generators.requests import Artifact, TextToImage
from generators.settings import WorkerSettings


class Stub:
    def __init__(self, connection: socket.socket, settings: WorkerSettings) -> None:
        self._connection, self._settings = connection, settings
        self._stream = connection.makefile("rb")
        self._turn = threading.Lock()
        self._waiting: list[Submit] = []
        self._filled = threading.Condition()
        self._running, self._cancelled = "", set[str]()
        self._stalled_seconds, self._hung = 0.0, False
        self._resident: dict[str, int] = {}

    def say(self, message: FromWorker) -> None:
        with self._turn:
            if not self._hung:
                self._connection.sendall(frames.frame(message))

    def beat(self) -> None:
        while True:
            self.say(
                Heartbeat(
                    stalled_seconds=self._stalled_seconds, running=int(bool(self._running)),
                    waiting=len(self._waiting), resident=dict(self._resident),
                )
            )  # fmt: skip
            time.sleep(self._settings.heartbeat_seconds)

    def read(self) -> None:
        try:
            while header := self._stream.read(frames.HEADER_BYTES):
                self._receive(frames.to_worker(self._stream.read(frames.length(header))))
        finally:
            os._exit(0)

    def work(self) -> None:
        while True:
            with self._filled:
                self._filled.wait_for(lambda: self._waiting)
                job = self._waiting.pop(0)
                self._running = job.job
            self.say(Progress(job=job.job, step=0, steps=100))
            self._run(job)
            self._running = ""

    def _receive(self, message: object) -> None:
        match message:
            case Submit(job=job, request=request):
                self.say(Accepted(job=job))
                if request.model not in self._resident:
                    self.say(Failed(job=job, code="model_unavailable", message="It was not told of it."))
                    return
                with self._filled:
                    self._waiting.append(message)
                    self._filled.notify()
            case Cancel(job=job):
                self._cancelled.add(job)
                with self._filled:
                    waiting = [each for each in self._waiting if each.job == job]
                    self._waiting = [each for each in self._waiting if each.job != job]
                for _ in waiting:
                    self.say(Cancelled(job=job, share=0.0))
            case Load(model=model):
                self._resident[model.name] = 1
                self.say(Loaded(model=model.name, memory_bytes=1, seconds=0.0))
            case _:
                os._exit(0)

    def _run(self, job: Submit) -> None:
        assert isinstance(job.request, TextToImage)
        match job.request.prompt.split():
            case ["say", count, *then]:
                for number in range(int(count)):
                    self.say(Token(job=job.job, text=f"{number} "))
                if then:
                    die()
            case ["run"]:
                self._steps(job.job)
                return
            case ["die"]:
                die()
            case ["hang"]:
                self._hung = True
            case ["stall"]:
                self._stalled_seconds = 3600.0
            case ["alone"] if not job.alone:
                self.say(Failed(job=job.job, code="internal", message="It was not to run alone."))
                return
            case _:
                pass
        data = b"".join(job.inputs.values())
        artifact = Artifact(media_type="image/png", data=data, width=1, height=1, seed=1)
        if not self._stalled_seconds:
            self.say(Result(job=job.job, artifacts=(artifact,), device_seconds=0.5))
        if job.request.prompt == "draw die":
            die()

    def _steps(self, job: str) -> None:
        for step in range(1, 100_000):
            if job in self._cancelled:
                return self.say(Cancelled(job=job, share=0.5, device_seconds=0.1))
            if (Path(self._settings.cache) / "stop").exists():
                return self.say(Result(job=job, artifacts=(), device_seconds=0.1))
            self.say(Progress(job=job, step=step, steps=100_000))
            time.sleep(0.01)
        return None


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--settings", required=True)
    arguments = parser.parse_args()
    settings = msgspec.json.decode(arguments.settings, type=WorkerSettings)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stub = Stub(socket.socket(fileno=arguments.fd), settings)
    stub.say(Ready(device=settings.device, name=str(os.getpid()), memory_bytes=1000))
    for thread in (stub.read, stub.beat):
        threading.Thread(target=thread, daemon=True).start()
    stub.work()


if __name__ == "__main__":
    main()
