"""Run by alembic at every upgrade, on the connection and in the transaction that sql/schema.py hands in.

New steps are written by hand, or drafted with `alembic.autogenerate` against `sql.tables.metadata`.
"""

from alembic import context

from concept_store.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can't alter a table: alembic makes it anew
)
context.run_migrations()
