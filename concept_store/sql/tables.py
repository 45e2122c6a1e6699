"""The tables. The migrations make them; a test holds that both say the same. Knows no statement.

What came from a concept, photo or correction goes with it: every foreign key deletes in cascade.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import TypeDecorator

# Named constraints, so that a later migration can drop them on every database.
NAMING = {"ix": "ix_%(table_name)s_%(column_0_N_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s"}
metadata = MetaData(naming_convention=NAMING)


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite, which knows no time zones, gets it as naive UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


def of(parent: str, **more: Any) -> Column[str]:
    """The id of the row this one belongs to and dies with."""
    return Column(f"{parent}_id", String, ForeignKey(f"{parent}s.id", ondelete="CASCADE"), nullable=False, **more)


def vectors() -> list[Column[Any]]:
    """(number, width) vectors, little-endian row-major: float16 for regions, float32 for heads."""
    return [
        Column("width", Integer, nullable=False),
        Column("number", Integer, nullable=False),
        Column("vectors", LargeBinary, nullable=False),
    ]


concepts = Table(
    "concepts",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("name_key", String, nullable=False),  # names.name_key(name)
    Column("kind", String, nullable=False),
    Column("class_noun", String, nullable=False),
    Column("owner_id", BigInteger, nullable=False),
    Column("guild_id", BigInteger),
    Column("private", Boolean, nullable=False),
    Column("subject_id", BigInteger),
    Column("announce_channel_id", BigInteger),
    Column("announce_message_id", BigInteger),
    Column("announce_locale", String),
    Column("announced", Boolean, nullable=False),
    Column("state", String, nullable=False),
    Column("failure", String),
    Column("attempts", Integer, nullable=False),
    Column("sample", String),
    Column("ticket", BigInteger, nullable=False),  # place in the queue, from counters.ticket
    Column("worker", String),  # while somebody trains it:
    Column("token", String),
    Column("lease_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("ready_at", Moment),
    # These two make NameTaken true by construction, whoever writes at the same time.
    Index("ux_concepts_owner_name", "owner_id", "name_key", unique=True),
    Index(
        "ux_concepts_guild_name",
        "guild_id",
        "name_key",
        unique=True,
        sqlite_where=text("NOT private"),
        postgresql_where=text("NOT private"),
    ),
    Index("ix_concepts_guild_id", "guild_id"),
    Index("ix_concepts_subject_id", "subject_id"),
    Index("ix_concepts_state_ticket", "state", "ticket"),
)

photos = Table(
    "photos",
    metadata,
    Column("id", String, primary_key=True),
    of("concept"),
    Column("position", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("captions", JSON, nullable=False),
    Column("box", JSON(none_as_null=True)),
    Column("thumbnail", LargeBinary, nullable=False),  # before data: SQLite reads a row from the left
    Column("data", LargeBinary, nullable=False),
    Column("faces", JSON(none_as_null=True)),  # at the end, where the migration put it
    Column("face", JSON(none_as_null=True)),
    Index("ux_photos_concept_position", "concept_id", "position", unique=True),
)

photo_regions = Table(
    "photo_regions",
    metadata,
    of("photo", primary_key=True),
    Column("encoder", String, primary_key=True),
    *vectors(),
    Column("boxes", LargeBinary, nullable=False),  # (number, 4) float64
)

heads = Table(
    "heads",
    metadata,
    of("concept", primary_key=True),
    Column("encoder", String, primary_key=True),
    *vectors(),
    Column("biases", LargeBinary, nullable=False),  # (number,) float32
    Column("calibration_slope", Float, nullable=False),
    Column("calibration_offset", Float, nullable=False),
    Column("calibration_doubt", Float),  # a score
    Index("ix_heads_encoder", "encoder"),
)

embeddings = Table(
    "embeddings",
    metadata,
    of("concept", primary_key=True),
    Column("vlm", String, primary_key=True),
    Column("finished", Boolean, primary_key=True),  # an unfinished one may stand beside the one in use
    Column("step", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),  # safetensors
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", String, primary_key=True),
    of("concept"),
    Column("digest", String, nullable=False),
    Column("present", Boolean, nullable=False),
    Column("user_id", BigInteger),
    Column("ticket", BigInteger, nullable=False),  # their order, from counters.ticket
    Column("made_at", Moment, nullable=False),
    Index("ux_corrections_concept_digest_user", "concept_id", "digest", "user_id", unique=True),
    Index("ix_corrections_digest", "digest"),
    Index("ix_corrections_user_id", "user_id"),
)

correction_regions = Table(
    "correction_regions",
    metadata,
    of("correction", primary_key=True),
    Column("encoder", String, primary_key=True),
    *vectors(),
    Column("boxes", LargeBinary, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", String, primary_key=True),
    Column("value", JSON, nullable=False),
)

consents = Table(
    "consents",
    metadata,
    Column("subject_id", BigInteger, primary_key=True, autoincrement=False),
    Column("teacher_id", BigInteger, primary_key=True, autoincrement=False),
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("given_at", Moment, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String, primary_key=True),  # "heads": rises with every change of what can be matched; "ticket"
    Column("value", BigInteger, nullable=False),
)
