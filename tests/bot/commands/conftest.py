"""`open_stage(**environ)` on a fresh SQLite database, for what does not hang on the SQL."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.bot.commands.stage import Open, Stage, stage


@pytest.fixture
async def open_stage(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def opened(**environ: str) -> Stage:
            path = tmp_path / "a.db"
            shutil.copy(sqlite_template, path)
            return await stack.enter_async_context(stage(f"sqlite:///{path}", tmp_path, **environ))

        yield opened


@pytest.fixture
async def play(open_stage: Open) -> Stage:
    """The usual stage."""
    return await open_stage()
