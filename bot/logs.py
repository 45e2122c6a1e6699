"""How the bot's process writes its log: one line an event, to stderr, with ids and never pictures, vectors or messages."""

from __future__ import annotations

import logging
import sys

import structlog

NOT_FOR_US = ("discord.client", "discord.state")  # their warnings: no voice libraries, and SimCord's probe asks for no intent


def configure_logs(level: str) -> None:
    """structlog for our own events, the standard library's logging for everybody else's (warnings and worse only)."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s", force=True)
    for name in NOT_FOR_US:
        logging.getLogger(name).setLevel(logging.ERROR)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
