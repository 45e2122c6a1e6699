"""Faces that were kept of bystanders, beside a pet or a thing, are deleted."""

from alembic import op

revision = "0004"
down_revision: str | None = "0003"


def upgrade() -> None:
    taught = "SELECT photos.id FROM photos JOIN concepts ON concepts.id = photos.concept_id WHERE concepts.kind <> 'person'"
    op.execute(f"DELETE FROM photo_regions WHERE encoder LIKE 'faces%' AND photo_id IN ({taught})")
    op.execute("DELETE FROM correction_regions WHERE encoder LIKE 'faces%'")


def downgrade() -> None:
    """What was deleted stays deleted."""
