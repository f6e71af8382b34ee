"""Runs migrations on the connection that `storage.schema` hands over."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from storage.tables import Row


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Row.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    context.run_migrations()


run(context.config.attributes["connection"])
