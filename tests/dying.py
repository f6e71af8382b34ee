"""Dying between any two statements of a transaction."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from storage import ledger
from storage.database import Database, Session
from storage.prepared import send

Path = Callable[[Session], Any]


class Died(Exception):
    pass


async def leaves_all_or_nothing(database: Database, path: Path, everything: Path) -> None:
    """Hold that nothing of `path` has happened wherever it dies, and that it can be done again when it is done."""
    before = await database.read(everything)
    for statements in itertools.count():
        try:
            await database.run(dying(path, after=statements))
            break
        except Died:
            assert await database.read(everything) == before
    assert statements >= 3  # it died somewhere
    after = await database.read(everything)
    assert after != before
    assert await database.read(ledger.check) == []
    await database.run(path)  # whoever did not hear that it was done does it again
    assert await database.read(everything) == after


def dying(path: Path, *, after: int) -> Path:
    def work(session: Session) -> None:
        connection, left = session.connection(), itertools.count(after, -1)

        def burn(*_: Any) -> None:
            if next(left) == 0:  # once: what rolls back is a statement too
                raise Died

        event.listen(connection, "before_cursor_execute", burn)
        try:
            path(session)
            session.flush()
            send(session)
        finally:
            event.remove(connection, "before_cursor_execute", burn)

    return work
