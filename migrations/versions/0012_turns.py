"""turns: the order of the flows apart from the flows; live jobs by age, for those who have waited too long"""

import sqlalchemy as sa
from alembic import op

from storage.triggers import TURNS

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ADDED = {"tiers": ("at_us", "from_us", "past_us", "past_xid"), "flows": ("served_job",)}

FAIR = {"sqlite_where": sa.text("eligible"), "postgresql_where": sa.text("eligible")}
LIVE = {
    f"{name}_where": sa.text("state IN ('available', 'running', 'retryable')")
    for name in ("sqlite", "postgresql")
}


def upgrade() -> None:
    op.drop_index("ix_jobs_live", table_name="jobs")
    op.create_index("ix_jobs_live", "jobs", ["state", "created_at"], **LIVE)
    op.drop_index("ix_flows_fair", table_name="flows")
    for table, names in ADDED.items():
        for name in names:
            op.add_column(table, sa.Column(name, NUMBER, server_default="0", nullable=False))
    op.create_table(
        "turns",
        sa.Column("tier", sa.String(length=64), nullable=False),
        sa.Column("start_us", NUMBER, nullable=False),
        sa.Column("account_id", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("tier", "start_us", "account_id", name=op.f("pk_turns")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "UPDATE tiers SET at_us = coalesce((SELECT now_us FROM tiers AS between_them WHERE name = '*'), 0) WHERE name <> '*'"
    )
    op.execute("DELETE FROM tiers WHERE name = '*'")
    op.execute(
        "UPDATE flows SET start_us = now_us FROM tiers WHERE tiers.name = flows.tier AND flows.start_us < tiers.now_us"
    )
    op.execute(
        "INSERT INTO turns (tier, start_us, account_id) SELECT tier, start_us, account_id FROM flows WHERE eligible"
    )
    for trigger in TURNS[op.get_bind().dialect.name]:
        op.execute(trigger)


def downgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for name in ("flows_joined", "flows_moved", "flows_left"):
        op.execute(f"DROP TRIGGER {name}" + (" ON flows" if postgresql else ""))
    if postgresql:
        op.execute("DROP FUNCTION keep_turns()")
    op.drop_table("turns")
    op.execute(
        "INSERT INTO tiers (name, weight, start_us, now_us) SELECT '*', 0, 0, max(at_us) FROM tiers HAVING count(*) > 0"
    )
    for table, names in ADDED.items():
        for name in names:
            op.drop_column(table, name)
    op.create_index("ix_flows_fair", "flows", ["tier", "start_us", "account_id"], **FAIR)
    op.drop_index("ix_jobs_live", table_name="jobs")
    op.create_index("ix_jobs_live", "jobs", ["state", "id"], **LIVE)
