"""Error metadata: what a program needs to tell a user why a stage ended badly, in his language."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Bring the catalogue to this version."""
    op.add_column("stage_runs", sa.Column("error_metadata", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    """Go back to the version before."""
    op.drop_column("stage_runs", "error_metadata")
