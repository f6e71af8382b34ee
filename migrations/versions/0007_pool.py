"""pool"""

import sqlalchemy as sa
from alembic import op

import storage.types

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "devices",
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.LargeBinary(), nullable=False),
        sa.Column("drained", sa.Boolean(), nullable=False),
        sa.Column("seen_at", storage.types.Utc(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("process", "name", name=op.f("pk_devices")),
    )


def downgrade() -> None:
    op.drop_table("devices")
