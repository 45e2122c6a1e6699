"""From which score on a head's answer is worth a question. Heads made before ask by their probability alone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    op.add_column("heads", sa.Column("calibration_doubt", sa.Float()))


def downgrade() -> None:
    op.drop_column("heads", "calibration_doubt")
