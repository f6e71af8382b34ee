"""`atelier ledger check`: silent about nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.bot.cli.conftest import Atelier
from tests.bot.jobs.world import world


def test_each_difference_is_a_line_and_any_is_an_error(
    atelier: Atelier, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATELIER_DATABASE_URL", database_url)

    async def work(statement: str) -> None:
        async with world(database_url, tmp_path) as w:
            await w.submit(await w.person("ann"))
            await w.real.run(lambda session: session.execute(text(statement)).close())

    asyncio.run(work("SELECT 1"))
    assert atelier("ledger", "check").out == "The books add up.\n"
    asyncio.run(work("UPDATE lots SET remaining = 3"))
    found = atelier("ledger", "check")
    assert found.code == 1
    assert "lot #1: 20 expected, 4 found" in found.out
    assert "available #1: 3 expected, 19 found" in found.out
