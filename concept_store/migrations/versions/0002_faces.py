"""Faces of a taught photo among which its teacher was asked to choose, and the one that was chosen."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    op.add_column("photos", sa.Column("faces", sa.JSON()))
    op.add_column("photos", sa.Column("face", sa.JSON()))


def downgrade() -> None:
    """Not in a batch: SQLite would make the table anew, and what belongs to its photos would go with the old one."""
    op.drop_column("photos", "face")
    op.drop_column("photos", "faces")
