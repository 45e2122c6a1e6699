"""The first schema: concepts, photos, what was seen and learned, corrections, settings, consents."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    make_concepts()
    make_photos()
    make_learned()
    make_corrections()
    make_guilds()
    make_counters()


def downgrade() -> None:
    for table in (
        "counters",
        "consents",
        "settings",
        "correction_regions",
        "corrections",
        "embeddings",
        "heads",
        "photo_regions",
        "photos",
        "concepts",
    ):
        op.drop_table(table)


def moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def of(parent: str, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        f"{parent}_id", sa.String(), sa.ForeignKey(f"{parent}s.id", ondelete="CASCADE"), primary_key=primary_key, nullable=False
    )


def vectors() -> Sequence[sa.Column]:
    return (
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
    )


def make_concepts() -> None:
    op.create_table(
        "concepts",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("class_noun", sa.String(), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("guild_id", sa.BigInteger()),
        sa.Column("private", sa.Boolean(), nullable=False),
        sa.Column("subject_id", sa.BigInteger()),
        sa.Column("announce_channel_id", sa.BigInteger()),
        sa.Column("announce_message_id", sa.BigInteger()),
        sa.Column("announce_locale", sa.String()),
        sa.Column("announced", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("failure", sa.String()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sample", sa.String()),
        sa.Column("ticket", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.String()),
        sa.Column("token", sa.String()),
        sa.Column("lease_until", moment()),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("ready_at", moment()),
    )
    op.create_index("ux_concepts_owner_name", "concepts", ["owner_id", "name_key"], unique=True)
    public = sa.text("NOT private")
    op.create_index(
        "ux_concepts_guild_name", "concepts", ["guild_id", "name_key"], unique=True, sqlite_where=public, postgresql_where=public
    )
    op.create_index("ix_concepts_guild_id", "concepts", ["guild_id"])
    op.create_index("ix_concepts_subject_id", "concepts", ["subject_id"])
    op.create_index("ix_concepts_state_ticket", "concepts", ["state", "ticket"])


def make_photos() -> None:
    op.create_table(
        "photos",
        sa.Column("id", sa.String(), primary_key=True),
        of("concept"),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("captions", sa.JSON(), nullable=False),
        sa.Column("box", sa.JSON()),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ux_photos_concept_position", "photos", ["concept_id", "position"], unique=True)
    op.create_table(
        "photo_regions",
        of("photo", primary_key=True),
        sa.Column("encoder", sa.String(), primary_key=True),
        *vectors(),
        sa.Column("boxes", sa.LargeBinary(), nullable=False),
    )


def make_learned() -> None:
    op.create_table(
        "heads",
        of("concept", primary_key=True),
        sa.Column("encoder", sa.String(), primary_key=True),
        *vectors(),
        sa.Column("biases", sa.LargeBinary(), nullable=False),
        sa.Column("calibration_slope", sa.Float(), nullable=False),
        sa.Column("calibration_offset", sa.Float(), nullable=False),
    )
    op.create_index("ix_heads_encoder", "heads", ["encoder"])
    op.create_table(
        "embeddings",
        of("concept", primary_key=True),
        sa.Column("vlm", sa.String(), primary_key=True),
        sa.Column("finished", sa.Boolean(), primary_key=True),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )


def make_corrections() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", sa.String(), primary_key=True),
        of("concept"),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("ticket", sa.BigInteger(), nullable=False),
        sa.Column("made_at", moment(), nullable=False),
    )
    op.create_index("ux_corrections_concept_digest", "corrections", ["concept_id", "digest"], unique=True)
    op.create_index("ix_corrections_digest", "corrections", ["digest"])
    op.create_index("ix_corrections_user_id", "corrections", ["user_id"])
    op.create_table(
        "correction_regions",
        of("correction", primary_key=True),
        sa.Column("encoder", sa.String(), primary_key=True),
        *vectors(),
        sa.Column("boxes", sa.LargeBinary(), nullable=False),
    )


def make_guilds() -> None:
    op.create_table(
        "settings",
        sa.Column("guild_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("value", sa.JSON(), nullable=False),
    )
    op.create_table(
        "consents",
        sa.Column("subject_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("teacher_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("guild_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("given_at", moment(), nullable=False),
    )


def make_counters() -> None:
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.BigInteger(), nullable=False),
    )
    op.bulk_insert(counters, [{"name": "heads", "value": 0}, {"name": "ticket", "value": 0}])
