"""ledger"""

import sqlalchemy as sa
from alembic import op

import storage.types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PAID_BY_ANOTHER = sa.text("payer_id IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "rates",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("due_us", storage.types.BigInt, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rates")),
    )
    op.create_table(
        "reversals",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("lot_id", storage.types.BigInt, nullable=False),
        sa.Column("taken", storage.types.BigInt, nullable=False),
        sa.Column("owed", storage.types.BigInt, nullable=False),
        sa.Column("at", storage.types.Utc(timezone=True), nullable=False),
        sa.Column("restored_at", storage.types.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["lot_id"], ["lots.id"], name=op.f("fk_reversals_lot_id_lots")),
        sa.PrimaryKeyConstraint("key", "lot_id", name=op.f("pk_reversals")),
    )
    op.create_index(op.f("ix_reversals_lot_id"), "reversals", ["lot_id"], unique=False)
    # Written out, because SQLite adds a column with its constraint only so, without copying the table.
    number = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(
        f"ALTER TABLE accounts ADD COLUMN debt {number} DEFAULT '0' NOT NULL"
        " CONSTRAINT ck_accounts_debt CHECK (debt >= 0)"
    )
    op.execute(
        f"ALTER TABLE jobs ADD COLUMN payer_id {number}"
        " CONSTRAINT fk_jobs_payer_id_accounts REFERENCES accounts (id)"
    )
    op.add_column("lots", sa.Column("taken", storage.types.BigInt, server_default="0", nullable=False))
    op.drop_index("ix_jobs_recent", table_name="jobs")  # counted a minute's jobs, as rates do now
    op.create_index(
        "ix_jobs_payer", "jobs", ["payer_id"], sqlite_where=PAID_BY_ANOTHER, postgresql_where=PAID_BY_ANOTHER
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_payer", table_name="jobs")
    op.create_index("ix_jobs_recent", "jobs", ["account_id", "created_at"], unique=False)
    with op.batch_alter_table("lots", schema=None) as batch_op:
        batch_op.drop_column("taken")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("payer_id")
    with op.batch_alter_table("accounts", schema=None) as batch_op:
        batch_op.drop_column("debt")
    op.drop_table("reversals")
    op.drop_table("rates")
