"""What a collector counts. Written by its own threads, read by any."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class CollectorFigures:
    """Since the start of the process.

    Attributes:
        running: whether the collector is at work.
        files: that are followed now.
        backlog: bytes of them that are not read yet, as they are on disk; packed files as a whole.
        read: bytes of files that were taken.
        lines: that were put into batches.
        batches: acknowledged.
        deduplicated: of these, that the server had already.
        refused: lines that the server refused, as far as it says how many.
        retries: by reason: `busy` (429, 503), `refused` (other statuses), `unreachable`.
        unsent: batches on disk that are not acknowledged.
        rotations: files that were renamed, replaced or begun anew.
        lost: files that were gone before they were known to be read to their end.
        errors: files that could not be read, or a disk that could not be written.
        last_acknowledged: time.time() of the last acknowledged batch; 0: none yet.
    """

    running: bool = False
    files: int = 0
    backlog: int = 0
    read: int = 0
    lines: int = 0
    batches: int = 0
    deduplicated: int = 0
    refused: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    unsent: int = 0
    rotations: int = 0
    lost: int = 0
    errors: int = 0
    last_acknowledged: float = 0.0
