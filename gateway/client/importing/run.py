"""An import from one end to the other: read, send several batches at once, note in order what is acknowledged."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gateway.client.importing.entries import Batch, Rejected, Row
from gateway.client.importing.reading import Reading
from gateway.client.importing.sending import Sender
from gateway.client.importing.source import Source
from gateway.client.importing.state import Importing, open_state, state_path


@dataclass(frozen=True, slots=True)
class Options:
    """How an import is done.

    Attributes:
        target: names the server and the tenant; part of what a state is kept for.
        in_flight: batches that are sent at once.
        states: the folder of states; None: beside the files.
        keep_state: whether there are any.
        restart: begin anew.
    """

    target: str
    in_flight: int = 3
    states: Path | None = None
    keep_state: bool = True
    restart: bool = False


@dataclass(slots=True)
class Figures:
    """What an import came to.

    Attributes:
        files: that were looked at.
        lines: stored.
        bytes: of the sources, unpacked, that were sent.
        skipped: bytes of plain files that earlier runs had sent.
        rejected: lines not stored, by reason.
        before: lines that earlier runs had stored or refused.
    """

    files: int = 0
    lines: int = 0
    bytes: int = 0
    skipped: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    before: int = 0


def import_source(
    source: Source,
    reading: Reading,
    options: Options,
    sender: Sender,
    figures: Figures,
    rejected: Callable[[Rejected], None],
    progress: Callable[[], None],
) -> None:
    """Imports what of a source is not imported yet.

    Args:
        source: what to import.
        reading: how it is read.
        options: how it is done.
        sender: to the server.
        figures: counted on.
        rejected: takes every line that is not stored, once it is certain.
        progress: is called after each acknowledged batch.

    Raises:
        ClientError, Stopped: as of the sender and the reading; what is acknowledged by then is noted.
        OSError: the state cannot be written.
    """
    with _state(source, reading, options) as state, ThreadPoolExecutor(options.in_flight) as threads:
        figures.files += 1
        figures.before += state.lines
        figures.skipped += 0 if source.packing else min(state.done, source.size)
        waiting: deque[tuple[Batch, Future[list[Rejected]]]] = deque()

        def acknowledge() -> None:
            batch, sent = waiting.popleft()
            refused = [*batch.rejected, *sent.result()]
            for each in refused:
                rejected(each)
                figures.rejected[each.reason] = figures.rejected.get(each.reason, 0) + 1
            lines = len(batch.rows) + len(batch.rejected)
            state.acknowledged(batch.end, batch.carry, lines, len(refused))
            figures.lines += lines - len(refused)
            figures.bytes += batch.size
            progress()

        try:
            for batch in reading.batches(source, state):
                waiting.append(
                    (batch, threads.submit(sender.send, batch.rows, uuid.uuid5(state.run, str(batch.start))))
                )
                if len(waiting) > options.in_flight:
                    acknowledge()
            while waiting:
                acknowledge()
        except BaseException:
            sender.stop()
            raise


def preview(source: Source, reading: Reading, lines: int) -> tuple[list[Row], list[Rejected]]:
    """What the first `lines` lines of a source would become; nothing is sent and no state is kept."""
    rows: list[Row] = []
    rejected: list[Rejected] = []
    with open_state(
        None, identity="", options="", size=_size(source), modified=source.modified, now=time.time_ns(), restart=True
    ) as state:
        for batch in reading.batches(source, state):
            rows += batch.rows
            rejected += batch.rejected
            if len(rows) + len(rejected) >= lines:
                break
    return rows[:lines], rejected[:lines]


def _state(source: Source, reading: Reading, options: Options) -> Importing:
    kept = options.keep_state and source.path is not None
    path = state_path(source.path, options.states) if kept and source.path is not None else None
    return open_state(
        path,
        identity=source.identity,
        options=_digest(reading, options.target, source),
        size=_size(source),
        modified=source.modified,
        now=time.time_ns(),
        restart=options.restart,
    )


def _size(source: Source) -> int:
    return 0 if source.packing else source.size


def _digest(reading: Reading, target: str, source: Source) -> str:
    """Of everything that decides what is in a batch, and where it goes."""
    fields = reading.fields
    said = [
        target,
        source.name if reading.file_label else "",
        reading.form,
        sorted(reading.labels.items()),
        reading.file_label,
        [fields.time, fields.line, fields.labels, fields.metadata],
        None if reading.rule is None else [reading.rule.name, reading.rule.pattern.pattern],
        reading.line_times,
        reading.file_times,
        str(reading.zone),
        reading.encoding,
        reading.batch_bytes,
        reading.batch_lines,
    ]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:32]
