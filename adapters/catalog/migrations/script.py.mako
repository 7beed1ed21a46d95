"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Bring the catalogue to this version."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Bring it back to the version before."""
    ${downgrades if downgrades else "pass"}
