"""timings"""

import sqlalchemy as sa
from alembic import op

import storage.types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FAIR = {"sqlite_where": sa.text("eligible"), "postgresql_where": sa.text("eligible")}
LIVE = {
    name: sa.text("state IN ('available', 'running', 'retryable')")
    for name in ("sqlite_where", "postgresql_where")
}


def upgrade() -> None:
    op.create_table(
        "capacities",
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("devices", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("rate_us", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("until", storage.types.Utc(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_capacities")),
    )
    op.add_column(
        "flows",
        sa.Column(
            "passed_us",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            server_default="0",
            nullable=False,
        ),
    )
    op.drop_index("ix_flows_fair", table_name="flows")
    op.create_index("ix_flows_fair", "flows", ["tier", "start_us", "account_id"], **FAIR)
    op.drop_index("ix_jobs_live", table_name="jobs")
    op.create_index("ix_jobs_live", "jobs", ["state", "id"], **LIVE)
    with op.batch_alter_table("timings") as batch_op:
        batch_op.add_column(sa.Column("shape", sa.String(length=64), server_default="", nullable=False))
        batch_op.drop_constraint(op.f("pk_timings"), type_="primary")
        batch_op.create_primary_key(op.f("pk_timings"), ["model", "shape"])
    if op.get_bind().dialect.name == "postgresql":
        for table in ("flows", "tiers"):
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 50)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in ("flows", "tiers"):
            op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    op.execute("DELETE FROM timings WHERE shape <> ''")
    with op.batch_alter_table("timings") as batch_op:
        batch_op.drop_constraint(op.f("pk_timings"), type_="primary")
        batch_op.create_primary_key(op.f("pk_timings"), ["model"])
        batch_op.drop_column("shape")
    op.drop_index("ix_jobs_live", table_name="jobs")
    op.create_index("ix_jobs_live", "jobs", ["state", "lease_until"], **LIVE)
    op.drop_index("ix_flows_fair", table_name="flows")
    op.create_index("ix_flows_fair", "flows", ["tier", "start_us"], **FAIR)
    op.drop_column("flows", "passed_us")
    op.drop_table("capacities")
