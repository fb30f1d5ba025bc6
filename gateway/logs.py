"""The server's own log: one line an event, logfmt or JSON, to stderr.

Values are escaped, so that what a client sent cannot forge a line or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO, TypeAlias

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
"""Loki's level names."""

_ROOT = "weir"
_DESCRIPTION = "weir.description"

Render: TypeAlias = Callable[[Mapping[str, Any]], str]
"""One event's fields as a line without its end."""


class UnknownLevel(Exception):  # noqa: N818 - named for what happened
    """Not one of LEVELS."""

    def __init__(self, level: str) -> None:
        super().__init__(f'unrecognized log level "{level}"')


class _Handler(logging.Handler):
    """Writes lines; counts them by level."""

    def __init__(self, render: Render, stream: TextIO, count: Callable[[str], None]) -> None:
        super().__init__()
        self._render = render
        self._stream = stream
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line. A log that cannot be written must not end the request it speaks of."""
        try:
            self._stream.write(self._render(_fields(record)) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return
        self._count(_level_name(record.levelno))


def configure(level: str, form: str, count: Callable[[str], None], stream: TextIO | None = None) -> None:
    """Sets up the log of this process.

    Args:
        level: one of LEVELS.
        form: text (logfmt) or json.
        count: called with the level's name for every line written.
        stream: stderr unless given.
    """
    render = _as_json if form == "json" else _as_logfmt
    handler = _Handler(render, stream or sys.stderr, count)
    for name in (_ROOT, "hypercorn.error", "asyncio", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    set_level(level)


def set_level(level: str) -> None:
    """Sets the level of our own lines; what libraries say is kept from `warn` up.

    Raises:
        UnknownLevel: not one of LEVELS.
    """
    if level not in LEVELS:
        raise UnknownLevel(level)
    logging.getLogger(_ROOT).setLevel(LEVELS[level])


def current_level() -> str:
    """The name of the level now set."""
    return _level_name(logging.getLogger(_ROOT).level)


def event(
    logger: logging.Logger, level: int, message: str, *, exc_info: BaseException | None = None, **fields: Any
) -> None:
    """Logs one event: what happened, and with which values."""
    if logger.isEnabledFor(level):
        logger.log(level, message, exc_info=exc_info, extra={"fields": fields})


def describe(scope: MutableMapping[str, Any], **fields: Any) -> None:
    """Says more of a request (by its ASGI scope) for the line that is logged if it fails."""
    scope.setdefault(_DESCRIPTION, {}).update(fields)


def description(scope: Mapping[str, Any]) -> dict[str, Any]:
    """What `describe` was told of a request."""
    return dict(scope.get(_DESCRIPTION, {}))


def _level_name(number: int) -> str:
    return next((name for name, least in reversed(LEVELS.items()) if number >= least), "debug")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
    fields = {"ts": stamp, "level": _level_name(record.levelno), "msg": record.getMessage()}
    fields.update(getattr(record, "fields", {}))
    if record.exc_info and record.exc_info[1] is not None:
        fields["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
    return fields


def _as_json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=True, default=str)


def _as_logfmt(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_logfmt_value(value)}" for name, value in fields.items())


def _logfmt_value(value: Any) -> str:
    text = str(value)
    if text and text.isprintable() and not any(char in text for char in ' "=\\'):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
