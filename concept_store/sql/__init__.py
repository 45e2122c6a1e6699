"""The store on SQL: SQLAlchemy Core, SQLite through aiosqlite. `open_sql_store(url)` is its only door.

Statements are kept to what SQLite and PostgreSQL both understand; what is SQLite's alone stands in database.py.
"""

from __future__ import annotations

from .store import SqlStore, open_sql_store

__all__ = ["SqlStore", "open_sql_store"]
