"""Watching the server's own state: storage that cannot write, or has lost something, becomes an alert, and its end too.

Storage says how it is, and counts. A refusal that came and went between two looks shows in the counts, and is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.notify.alerts import Alerts
from storage.figures import Condition

LOOK_EVERY = 2.0
"""Seconds between two looks: a few attribute reads and one statvfs, in a thread."""


class StateWatch:
    """The state of one store, as alerts `disk`, `sync`, `flush` and `block`."""

    def __init__(self, alerts: Alerts, data_dir: Path) -> None:
        self._alerts = alerts
        self._data_dir = data_dir
        self._last = Condition()
        self._synced_after = 0
        self._sync_failed = False

    async def run(self, condition: Callable[[], Condition]) -> None:
        """Looks every LOOK_EVERY seconds until it is cancelled."""
        while True:
            try:
                self.look(await asyncio.to_thread(condition))
            except OSError as error:
                self._alerts.raised("disk", f"the data directory cannot be looked at: {error.strerror}", {}, "critical")
            await asyncio.sleep(LOOK_EVERY)

    def look(self, now: Condition) -> None:
        """Compares with the last look, and tells what has begun and what is over."""
        last, self._last = self._last, now
        where = {"data_dir": str(self._data_dir.absolute()), "disk_used": f"{now.disk_used:.0%}"}
        refused = now.refusing or now.refused_batches > last.refused_batches
        if now.sync_failures > last.sync_failures:
            self._sync_failed, self._synced_after = True, now.syncs
        elif self._sync_failed and now.syncs > self._synced_after and not refused:
            self._sync_failed = False
        self._tell(
            "sync",
            self._sync_failed,
            "the write-ahead log cannot be synced: pushes are refused (with wal.sync: interval, the last are at risk)",
            {**where, "failures": str(now.sync_failures)},
            "critical",
        )
        # Where it is the sync that fails one alert says so, and not two.
        self._tell(
            "disk",
            refused and not self._sync_failed,
            "pushes are refused: the data directory cannot be written",
            {**where, "refused_batches": str(now.refused_batches)},
            "critical",
        )
        self._tell(
            "flush",
            now.flush_failing,
            "flushes fail: what is in memory cannot be stored as blocks, and the write-ahead log grows",
            where,
            "error",
        )
        self._tell(
            "block",
            now.blocks_set_aside > 0,
            "damaged blocks were set aside: queries go without their entries, and say so",
            {"blocks": str(now.blocks_set_aside), "quarantine": str((self._data_dir / "quarantine").absolute())},
            "error",
        )

    def _tell(self, key: str, wrong: bool, summary: str, details: dict[str, str], severity: str) -> None:
        if wrong:
            self._alerts.raised(key, summary, details, severity)
        else:
            self._alerts.resolved(key)
