"""The real bot as a process of its own, which a test starts, kills and starts again on the same home.

Only processes that were started here are ever ended, by their ids.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from bot import bootstrap, settings
from bot.config import Config
from bot.operations import Operations
from storage import ledger
from storage.database import Database, connect
from tests.postgres import free_port

REPOSITORY = Path(__file__).parents[2]
START_SECONDS = 90.0  # on a machine that ten others use; a second on a quiet one
STOP_SECONDS = 40.0
BROKEN = ("Traceback", "command.broken", "job.broken", "delivery.broken", "rescuer.broken", "ledger.drift")
"""What a log never holds, whatever was done to the process around it."""


class Instance:
    """One home folder and the processes that serve it, one after the other."""

    def __init__(
        self, home: Path, *, database_url: str = "", role: str = "", port: int = 0, name: str = "bot",
        file_bytes_max: int = 0, **environ: str,
    ) -> None:  # fmt: skip
        self.home, self.role, self.port = home, role, port or free_port()
        self.environ = {
            "ATELIER_HOME": str(home),
            "ATELIER_WEB_PORT": str(self.port),
            "ATELIER_DATABASE_URL": database_url,
            "ATELIER_WEB_ALLOWANCES_PER_NETWORK": "1000",
            "ATELIER_POOL_THREADS": "1",  # two threads on two busy cores wait for each other for ever
            **environ,
        }
        self._file_bytes_max = file_bytes_max
        self._log = home / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Config:
        return settings.load(None, self.environ)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def complaints(self) -> list[str]:
        """Lines of the log that say that something of ours broke."""
        return [line for line in self.log().splitlines() if any(word in line for word in BROKEN)]

    # --- lives ------------------------------------------------------------------------------------------

    def launch(self) -> Instance:
        """Starts the process and does not wait."""
        assert not self.running
        arguments = ["--role", self.role] if self.role else []
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bot", "run", *arguments],
                cwd=REPOSITORY, env={**_plain_environ(), **self.environ}, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, preexec_fn=self._limit if self._file_bytes_max else None,
            )  # fmt: skip
        return self

    def start(self) -> Instance:
        """Starts the process and waits until it serves: the page answers, or the device is ready."""
        ready_before = self.ready
        self.launch()
        if self.role == "generate":
            self.wait(lambda: self.ready > ready_before, START_SECONDS)
        else:
            self.wait(self.healthy, START_SECONDS)
        return self

    @property
    def ready(self) -> int:
        """How many workers have become ready so far, in all lives."""
        return self.log().count("event=worker_ready")

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def terminate(self) -> None:
        """SIGTERM, and waits until it has drained."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def kill_worker(self) -> bool:
        """Kills the process on the device; False if there is none at this moment."""
        workers = self.workers()
        for worker in workers:
            worker.kill()
        return bool(workers)

    def workers(self) -> list[psutil.Process]:
        try:
            return [
                child for child in psutil.Process(self.pid).children(recursive=True) if child.is_running()
            ]
        except psutil.NoSuchProcess:
            return []

    def restart(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it with this signal and starts it again."""
        if number is signal.SIGKILL:
            self.kill()
        else:
            self.terminate()
        self.start()

    def end(self) -> None:
        """For teardown: gone, whatever state it was in, its workers with it."""
        workers = self.workers() if self.running else []
        self.kill()
        psutil.wait_procs(workers, timeout=5)  # a worker leaves when its parent's socket closes

    def wait(self, until: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            if not self.running:
                raise AssertionError(f"the process has ended:\n{self.log()[-4000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s:\n{self.log()[-4000:]}")
            time.sleep(0.05)

    # --- looking into it ----------------------------------------------------------------------------------

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """The same database from outside."""
        opened = connect(settings.database_url(self.config))
        try:
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def operations(self) -> AsyncIterator[Operations]:
        async with self.database() as database:
            yield bootstrap.operations_of(self.config, database)

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._file_bytes_max, self._file_bytes_max))


async def check_books(database: Database) -> None:
    """The invariants of the money, which hold at every moment."""
    assert await database.read(ledger.check) == []
    books = await database.read(ledger.balance_of_books)
    assert sum(books.values()) == 0


def _plain_environ() -> dict[str, str]:
    """The environment without anything of another instance in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}


def instances(home: Path, roles: Sequence[str], database_url: str, **environ: str) -> list[Instance]:
    """Several processes of one instance: one home, one database."""
    return [
        Instance(home, database_url=database_url, role=role, name=f"{role}-{number}", **environ)
        for number, role in enumerate(roles)
    ]
