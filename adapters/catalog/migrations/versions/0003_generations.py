"""Generations: their words, and how far they are built."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

_TABLE = "generations"


def upgrade() -> None:
    """Bring the catalogue to this version."""
    for column in (
        sa.Column("dictionary", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("synonyms", sa.JSON(), nullable=False, server_default="[]"),
        sa.Column("create_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("update_ms", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("created_by", sa.String(), nullable=False, server_default=""),
        sa.Column("promote_when_ready", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("videos_done", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("videos_total", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("after_video_id", sa.String(), nullable=False, server_default=""),
        sa.Column("error_reason", sa.String(), nullable=False, server_default=""),
        sa.Column("error_message", sa.String(), nullable=False, server_default=""),
    ):
        op.add_column(_TABLE, column)


def downgrade() -> None:
    """Go back to the version before: what is not ACTIVE by then is forgotten."""
    op.execute("DELETE FROM generations WHERE state NOT IN ('BUILDING', 'ACTIVE', 'RETIRED')")
    with op.batch_alter_table(_TABLE) as table:
        for column in (
            "error_message", "error_reason", "after_video_id", "videos_total", "videos_done", "promote_when_ready",
            "created_by", "update_ms", "create_ms", "synonyms", "dictionary",
        ):  # fmt: skip
            table.drop_column(column)
