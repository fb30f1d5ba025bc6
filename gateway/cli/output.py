"""Answers as text: the output forms of `weir query`, and plain lists.

On a terminal control characters are escaped; into a pipe or file go the bytes the server sent.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import lru_cache

import msgspec

from gateway.cli.terminal import escape_controls, escape_json_controls
from gateway.client.lines import Labels, Line, format_labels

SECOND = 1_000_000_000


class Form(StrEnum):
    """How a log line is printed."""

    DEFAULT = "default"
    RAW = "raw"
    JSONL = "jsonl"
    NONE = "none"


class OutputFailed(Exception):  # noqa: N818 - named for what happened
    """Stdout takes no more for another reason than a closed pipe: a full disk, for one."""


class Printer:
    """Writes lines to stdout, and what all of them have in common to `notice`.

    In the default form the labels that every line so far shares are announced once and left out of the lines, as logcli
    does; when a later page narrows them they are announced anew, so that each line's labels are those shown plus the
    last announcement.

    Args:
        form: how a line looks.
        notice: takes a text for the person.
        announces: whether shared labels are announced; without that each line has all of its own.
    """

    def __init__(self, form: Form, notice: Callable[[str], None], *, announces: bool = True) -> None:
        self._announces = announces
        self._form = form
        self._notice = notice
        self._common: frozenset[tuple[str, str]] | None = None
        self._escape = sys.stdout.isatty()

    def lines(self, lines: Sequence[Line]) -> None:
        """One page of log lines, written before this returns."""
        if self._form is Form.NONE:
            return
        if self._form is Form.RAW:
            texts = (line.text for line in lines)
        elif self._form is Form.JSONL:
            texts = (_jsonl(line) for line in lines)
        else:
            if self._announces:
                self._announce({line.labels for line in lines})
            texts = (self._default(line) for line in lines)
        self.texts(texts, json=self._form is Form.JSONL)

    def series(self, kind: str, result: bytes) -> None:
        """A metric query's result: JSON, or with JSONL one series a row."""
        if self._form is Form.NONE:
            return
        if self._form is Form.JSONL and kind != "scalar":
            elements: list[msgspec.Raw] = msgspec.json.decode(result, type=list[msgspec.Raw])
            self.texts((bytes(element).decode("utf-8", "replace") for element in elements), json=True)
            return
        pretty = msgspec.json.format(result.decode("utf-8", "replace"), indent=2)
        self.texts(pretty.split("\n"), json=True)

    def texts(self, texts: Iterable[str], *, json: bool = False) -> None:
        """Each text and a newline.

        Raises:
            BrokenPipeError: whoever read stdout is gone.
            OutputFailed: stdout cannot be written.
        """
        if self._escape:
            escape = escape_json_controls if json else escape_controls
            texts = (escape(text) for text in texts)
        data = "".join(f"{text}\n" for text in texts).encode()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(str(error)) from error

    def _announce(self, sets: set[Labels]) -> None:
        common = self._common
        for labels in sets:
            common = frozenset(labels) if common is None else common & frozenset(labels)
        if common is not None and common != self._common:
            self._notice(f"Common labels: {format_labels(sorted(common))}")
        self._common = common

    def _default(self, line: Line) -> str:
        common = self._common or frozenset()
        own = [pair for pair in line.labels if pair not in common]
        return f"{local_time(line.ts)} {format_labels(own)} {line.text}"


def local_time(ts: int) -> str:
    """RFC 3339 in the machine's time zone, with as many decimals as `ts` (ns) needs (Go's RFC3339Nano)."""
    seconds, fraction = divmod(ts, SECOND)
    clock, zone = _clock(seconds)
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{clock}{decimals}{zone}"


@lru_cache(maxsize=4096)
def _clock(seconds: int) -> tuple[str, str]:
    local = time.localtime(seconds)
    minutes = local.tm_gmtoff // 60
    if minutes == 0:
        zone = "Z"
    else:
        sign = "-" if minutes < 0 else "+"
        zone = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", local), zone


def _jsonl(line: Line) -> str:
    """`{"labels":{...},"line":"...","timestamp":"..."}`; all labels, so that a row stands alone."""
    row = {"labels": dict(line.labels), "line": line.text, "timestamp": local_time(line.ts)}
    return msgspec.json.encode(row).decode()
