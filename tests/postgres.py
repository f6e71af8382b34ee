"""A throw-away PostgreSQL for the tests: started once, a database per test from a migrated template.

`ATELIER_TEST_POSTGRES` names a server to use instead (postgresql://user@host:port/postgres).
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg


class PostgresMissing(Exception):
    """No PostgreSQL server is installed here."""


def binaries() -> Path:
    """The folder of initdb and postgres. Raises PostgresMissing."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise PostgresMissing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return versions[-1].parent


@contextmanager
def server(*, durable: bool = False) -> Iterator[str]:
    """The URL of a server on loopback, gone afterwards. `durable` keeps fsync, for benchmarks."""
    if given := os.environ.get("ATELIER_TEST_POSTGRES"):
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="atelier-pg-"))
    running = Cluster(folder, durable=durable)
    try:
        yield running.start()
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Cluster:
    """One PostgreSQL cluster in a folder; it can be stopped and started again."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._folder, self._bin, self._port = folder, binaries(), free_port()
        self._options = "" if durable else "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user:  # PostgreSQL refuses to run as root
            account = pwd.getpwnam(self._user)
            os.chown(folder, account.pw_uid, account.pw_gid)

    def start(self) -> str:
        data = self._folder / "data"
        if not data.exists():
            self._call(
                "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N"
            )
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder} "
        options += f"-c max_connections=200 {self._options}"
        self._call("pg_ctl", "-D", data, "-w", "-t", "60", "-l", self._folder / "log", "-o", options, "start")
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def stop(self) -> None:
        self._call("pg_ctl", "-D", self._folder / "data", "-m", "immediate", "stop")

    def _call(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [str(self._bin / program), *map(str, arguments)],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
            extra_groups=[] if self._user else None,
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "LANG": "C.UTF-8"},
            cwd=self._folder,
        )


@contextmanager
def database(server: str, name: str, *, template: str = "template1") -> Iterator[str]:
    """The URL of a new database on this server, dropped afterwards: what is left lying there is megabytes."""
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template} {_strategy(server)}")
    yield named(server, name)
    execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def named(server: str, name: str) -> str:
    """The URL of a database on the same server."""
    return server.rsplit("/", 1)[0] + "/" + name


@cache
def _strategy(server: str) -> str:
    """Since 15 a template is copied through the log unless one asks for the quicker way, the only one before."""

    async def version() -> int:
        connection: Any = await asyncpg.connect(server)
        try:
            return connection.get_server_version().major
        finally:
            await connection.close()

    return "STRATEGY FILE_COPY" if asyncio.run(version()) >= 15 else ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def execute(url: str, *statements: str) -> None:
    """Runs statements outside of a transaction, as CREATE DATABASE needs."""

    async def work() -> None:
        connection: Any = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(work())
