"""What all tests share: the two databases, a clock's moment, and what to do when a machine lacks something."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from storage import schema
from storage.database import Database, connect
from tests import postgres, statements

# In CI the same examples each time: what landed must not fail by chance. Elsewhere they differ, and find more.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


LONGEST = (
    "end_to_end/",
    "generators/",
    "bot/platforms/web/test_page.py",
    "bot/jobs/",
    "bot/test_",
    "bot/platforms/",
)
"""These files go first, so that short ones are left to even out the workers' ends."""
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 << 30


def pytest_configure() -> None:
    """Three test processes on two cores: one thread each, and nothing that has to wait for a disk, if there is room."""
    statements.compile_once()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES:
        tempfile.tempdir = os.environ["TMPDIR"] = str(MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        path = item.nodeid.removeprefix("tests/")
        return next((at for at, long in enumerate(LONGEST) if path.startswith(long)), len(LONGEST))

    items.sort(key=place)


def missing(what: str) -> None:
    """Skips loudly, or fails where `ATELIER_TEST_REQUIRE=all` says that everything must be there."""
    if os.environ.get("ATELIER_TEST_REQUIRE") == "all":
        pytest.fail(f"required here: {what}")
    pytest.skip(f"SKIPPED for want of it: {what}")


async def _migrate(url: str, backups: Path) -> None:
    database = connect(url)
    try:
        await schema.upgrade(database, url, backups=backups)
    finally:
        await database.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    try:
        postgres.binaries()
    except postgres.PostgresMissing as error:
        missing(str(error))
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    postgres.execute(postgres_server, "CREATE DATABASE template_atelier")
    template = postgres.named(postgres_server, "template_atelier")
    asyncio.run(_migrate(template, tmp_path_factory.mktemp("backups")))
    return postgres_server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "a.db"
    asyncio.run(_migrate(f"sqlite:///{path}", path.parent))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh migrated database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "a.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: str = request.getfixturevalue("postgres_template")
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with postgres.database(server, name, template="template_atelier") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = connect(database_url)
    yield opened
    await opened.close()


# --- how many requests of ours the platforms' own descriptions were asked about ------------------------------

_checked = {"discord": 0, "telegram": 0, "stripe": 0}


def _checked_here() -> dict[str, int]:
    """What the fakes of this process have checked."""
    found = {name: sys.modules.get(f"tests.fakes.{name}.validate") for name in _checked}
    return {name: getattr(module, "checked", 0) for name, module in found.items()}


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of xdist hands its count over."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["checked"] = _checked_here()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, count in getattr(node, "workeroutput", {}).get("checked", {}).items():
        _checked[name] += count


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for name, count in _checked_here().items():
        total = _checked[name] + count
        said = (
            f"{total} requests were checked"
            if total
            else "NO request was checked (ATELIER_WIRE_SPECS names the folder)"
        )
        terminalreporter.write_line(f"{name}: {said} against the platform's own description")
