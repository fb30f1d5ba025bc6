"""kill -9 of a real server after each step of its maintenance thread, and the start that follows."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from storage.verify import verify
from tests.crash.forks import ForkedServer, Forks
from tests.server import wait_until

MOST = 60
"""Steps within which all is done that is to be done."""


def kill_at_each_step(
    forks: Forks,
    filled: Path,
    *flags: str,
    is_done: Callable[[ForkedServer], bool],
    check: Callable[[ForkedServer], None],
) -> Counter[str]:
    """Ends a server on a copy of a data directory after the first step, the second, until no step is left.

    Args:
        forks: which start the servers.
        filled: the data directory; the copies are beside it.
        flags: of the servers.
        is_done: whether a server has done all that it had to do; raises what it likes if the server ends meanwhile.
        check: of the server that was started again.

    Returns:
        How often a step of each name was the end.
    """
    ended: Counter[str] = Counter()
    for step in range(1, MOST):
        data_dir = filled.with_name(f"{filled.name}-{step}")
        shutil.copytree(filled, data_dir)
        server = ForkedServer(forks, data_dir, *flags)
        server.kill_at("weir-compact", step)
        server.launch()
        try:
            assert wait_until(partial(_has_ended, server, is_done))
            server.kill()
            last = not server.killed_at.exists()
            if not last:
                ended[server.killed_at.read_text()] += 1
            server.start()
            check(server)
            assert "Traceback" not in server.log_text
            assert server.stop() == 0
        finally:
            print(f"step {step} {ended}\n{server.log_text}")
            server.kill()
        assert listed(data_dir) == blocks(data_dir)
        assert verify(data_dir, rebuild=True, report=lambda _: None).problems == []
        shutil.rmtree(data_dir)
        if last:
            return ended
    raise AssertionError(f"{MOST} steps were not enough")


def _has_ended(server: ForkedServer, is_done: Callable[[ForkedServer], bool]) -> bool:
    if server.exit_code is not None:
        return True
    try:
        return bool(server.url or server.wait_ready()) and is_done(server)
    except (AssertionError, OSError):  # it ended in this moment
        return False


def blocks(data_dir: Path) -> list[Path]:
    """All there are."""
    return sorted(data_dir.glob("blocks/*/*/*.parquet"))


def listed(data_dir: Path) -> list[Path]:
    """What index.db says there is."""
    with closing(sqlite3.connect(data_dir / "index.db")) as db:
        return sorted(data_dir / path for (path,) in db.execute("SELECT path FROM blocks"))
