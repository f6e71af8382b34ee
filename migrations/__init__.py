"""Alembic's history of the schema. `storage.schema.upgrade` applies it; `alembic check` keeps it complete."""
