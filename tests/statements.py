"""SQL is compiled once a process: each test opens a database of its own, and compiling the same statements for each
took half of the time.

What a statement is compiled to depends on the kind of database alone, so all dialects of a kind are one to the cache.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.util import LRUCache

STATEMENTS_MAX = 5000  # a few hundred are ours; an engine's own cache holds 500


def compile_once() -> None:
    compiled: LRUCache[Any, Any] = LRUCache(STATEMENTS_MAX)
    original = Engine.__init__

    def made(engine: Engine, *args: Any, **kwargs: Any) -> None:
        original(engine, *args, **kwargs)
        engine._compiled_cache = compiled

    Engine.__init__ = made  # type: ignore[method-assign]
    DefaultDialect.__eq__ = lambda one, other: type(one) is type(other)  # type: ignore[method-assign]
    DefaultDialect.__hash__ = lambda dialect: hash(type(dialect))  # type: ignore[method-assign]
