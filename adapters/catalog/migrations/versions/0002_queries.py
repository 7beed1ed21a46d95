"""Queries: what was typed for an answer, of tenants that keep it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Bring the catalogue to this version."""
    op.add_column("tenants", sa.Column("queries_kept", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "queries",
        sa.Column("query_id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("create_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("query_id", name="pk_queries"),
    )
    op.create_index("ix_queries_tenant_id", "queries", ["tenant_id"])
    op.create_index("ix_queries_create_ms", "queries", ["create_ms"])


def downgrade() -> None:
    """Go back to the version before."""
    op.drop_table("queries")
    op.drop_column("tenants", "queries_kept")
