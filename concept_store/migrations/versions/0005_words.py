"""What each member said of a photo is kept, not only what was said last: it holds again where the last word is taken back."""

from alembic import op

revision = "0005"
down_revision: str | None = "0004"

TABLE, ONE_WORD, ONE_EACH = "corrections", "ux_corrections_concept_digest", "ux_corrections_concept_digest_user"


def upgrade() -> None:
    op.create_index(ONE_EACH, TABLE, ["concept_id", "digest", "user_id"], unique=True)
    op.drop_index(ONE_WORD, TABLE)


def downgrade() -> None:
    """The last word of each photo stays."""
    newer = "newer.concept_id = corrections.concept_id AND newer.digest = corrections.digest AND newer.ticket > corrections.ticket"
    op.execute(f"DELETE FROM corrections WHERE EXISTS (SELECT 1 FROM corrections AS newer WHERE {newer})")
    op.execute("DELETE FROM correction_regions WHERE correction_id NOT IN (SELECT id FROM corrections)")
    op.create_index(ONE_WORD, TABLE, ["concept_id", "digest"], unique=True)
    op.drop_index(ONE_EACH, TABLE)
