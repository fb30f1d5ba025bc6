"""How far the relays that retention waits for were at which time: kept in control.db, the coarser the older.

What is not kept makes entries count as passed on later than they were, never sooner.
"""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection

import numpy as np

from storage.archived import ALWAYS, Archived
from storage.control import Control, read_table
from storage.lock import read_origin

EVERY = 60_000_000_000
"""ns between two samples."""
HOUR = 3_600_000_000_000
DAY = 24 * HOUR
FINE, COARSE = 1 * DAY, 60 * DAY
"""ns after which one sample an hour is left, and one a day."""


def read_archived(data_dir: Path) -> Archived | None:
    """What retention waits for in a data directory, for who only looks; None: for nothing. A server may be running.

    Raises StorageError if control.db cannot be read.
    """
    relays = read_table(data_dir, "relays", "SELECT name, seq FROM relays WHERE holds_retention")
    if not relays:
        return None
    names = {name for name, _ in relays}
    batches = read_table(
        data_dir,
        "relay_batches",
        "SELECT relay, min(first_seq) FROM relay_batches WHERE status NOT IN ('archived', 'removed') GROUP BY relay",
    )
    rows = read_table(data_dir, "archived", "SELECT at, seq FROM archived ORDER BY at")
    owed_from = min(seq for name, seq in [*relays, *batches] if name in names)
    at, seq = (np.array([row[column] for row in rows], np.int64) for column in (0, 1))
    return Archived(read_origin(data_dir).hex(), at, seq, owed_from)


class Progress:
    """The samples. One thread takes them, any reads."""

    def __init__(self, control: Control) -> None:
        """Raises StorageError."""
        self._control = control
        rows = control.rows("SELECT at, seq FROM archived ORDER BY at")
        self._at = np.array([at for at, _ in rows], np.int64)
        self._seq = np.array([seq for _, seq in rows], np.int64)

    def archived(self, origin: str, owed_from: int) -> Archived:
        """What the samples say."""
        return Archived(origin, self._at, self._seq, owed_from)

    def begin(self, db: Connection, seq: int) -> None:
        """Within a transaction: from now on it is waited for; nobody is owed records before `seq`."""
        db.execute("DELETE FROM archived")
        db.execute("INSERT INTO archived VALUES (?, ?)", (ALWAYS, seq))

    def begun(self, seq: int) -> None:
        """As `begin`, in memory."""
        self._at, self._seq = np.array([ALWAYS], np.int64), np.array([seq], np.int64)

    def is_due(self, now: int, owed_from: int) -> bool:
        """Whether a sample is to be taken: at `now` (ns) no record before `owed_from` is owed any more."""
        if not len(self._seq):
            return True
        return owed_from > int(self._seq[-1]) and (int(self._at[-1]) == ALWAYS or now - int(self._at[-1]) >= EVERY)

    def sample(self, now: int, owed_from: int) -> None:
        """Takes a sample, and thins older ones; durable on return. Raises StorageUnavailable."""
        with self._control.transaction() as db:
            db.execute("INSERT OR REPLACE INTO archived VALUES (?, ?)", (now, owed_from))
            for age, step in ((FINE, HOUR), (COARSE, DAY)):
                db.execute(
                    "DELETE FROM archived WHERE at > ?1 AND at < ?2 AND at NOT IN "
                    "(SELECT max(at) FROM archived WHERE at > ?1 GROUP BY at / ?3)",
                    (ALWAYS, now - age, step),
                )
            rows = db.execute("SELECT at, seq FROM archived ORDER BY at").fetchall()
        self._at = np.array([at for at, _ in rows], np.int64)
        self._seq = np.array([seq for _, seq in rows], np.int64)
