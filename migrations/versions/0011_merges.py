"""indexes: what a merge looks for"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

EMPTY, MERGED = sa.text("remaining = 0"), sa.text("merged_into IS NOT NULL")


def upgrade() -> None:
    op.create_index("ix_lots_empty", "lots", ["account_id"], sqlite_where=EMPTY, postgresql_where=EMPTY)
    op.create_index(
        "ix_accounts_merged_into", "accounts", ["merged_into"], sqlite_where=MERGED, postgresql_where=MERGED
    )
    op.create_index("ix_orders_buyer_id", "orders", ["buyer_id"])


def downgrade() -> None:
    op.drop_index("ix_orders_buyer_id", table_name="orders")
    op.drop_index("ix_accounts_merged_into", table_name="accounts")
    op.drop_index("ix_lots_empty", table_name="lots")
