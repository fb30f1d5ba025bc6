"""`weir backup` beside a real server that is pushed to and flushed all the time, kill -9, `weir restore` elsewhere."""

from __future__ import annotations

import http.client
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tests.crash.pushers import DAY, SELECTOR, Pusher
from tests.crash.traffic import Connection, read_lines
from tests.gateway.weir_command import weir
from tests.server import ServerProcess, wait_until

PUSHERS = 4
LINES = 1000
"""Acknowledged in a round, at least, before its backup begins."""
# Small enough that flushes and rotations of the log fall into each backup.
SETTINGS = ("memtable.size=256KB", "memtable.small_tenant=1KB", "wal.segment_size=64KB", "wal.reserve=256KB")


class Flushing:
    """Asks for one flush after the other, until the server is gone."""

    def __init__(self, url: str) -> None:
        self.flushes = 0
        self._url = url
        self._thread = threading.Thread(target=self._run, name="flushing")
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            with Connection(self._url) as connection:
                while True:
                    self.flushes += connection.ask("POST", "/flush").status == 204
        except (OSError, http.client.HTTPException):
            return


@pytest.mark.parametrize(("rounds", "other_disk"), [(2, False), (1, True)])
def test_a_backup_under_load_has_every_line_acknowledged_before_it_began_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, rounds: int, other_disk: bool
) -> None:
    settings = tuple(word for setting in SETTINGS for word in ("--set", setting))
    server = ServerProcess(tmp_path / "data", *settings)
    first_ts = time.time_ns() - 2 * DAY
    pushers = [Pusher(number, PUSHERS, first_ts, seed=5) for number in range(PUSHERS)]
    if other_disk:
        monkeypatch.setenv("PYTHONPATH", str(_without_links(tmp_path)), prepend=":")
    during = 0
    try:
        for number in range(rounds):
            server.start()
            for pusher in pushers:
                pusher.start(server.url)
            flushing = Flushing(server.url)
            assert wait_until(partial(_have_more_than, pushers, _lines(pushers) + LINES))
            before, flushes = _acknowledged(pushers), flushing.flushes
            backup = tmp_path / f"backup{number}"
            done = weir("backup", str(backup), "--data-dir", str(server.data_dir))
            assert (done.returncode, done.stderr) == (0, ""), done.stderr
            during += flushing.flushes - flushes
            assert ("linked" not in done.stdout) == other_disk
            server.kill()
            flushing.join()
            for pusher in pushers:
                pusher.join()
            _check_restored(backup, tmp_path / f"again{number}", settings, before, pushers)
        # The backups took nothing from the server that they were made from.
        server.start()
        for pusher in pushers:
            pusher.finish(server.url)
        found = read_lines(server.url, SELECTOR, first_ts, max(pusher.newest_ts for pusher in pushers) + 1)
        assert _acknowledged(pushers) <= found.keys()
        assert set(found.values()) == {1}
        assert server.stop() == 0
    finally:
        server.kill()
        for pusher in pushers:
            pusher.join()
    assert not [fault for pusher in pushers for fault in pusher.faults]
    assert during > rounds


def _check_restored(
    backup: Path, data_dir: Path, settings: tuple[str, ...], before: set[str], pushers: list[Pusher]
) -> None:
    for command in (["verify", "--data-dir", str(backup)], ["restore", str(backup), "--data-dir", str(data_dir)]):
        done = weir(*command)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    sent = _acknowledged(pushers) | {line for pusher in pushers for line in pusher.known.doubtful}
    sent |= {line.text for pusher in pushers if pusher._open is not None for line in pusher._open.lines}
    end = max(pusher.newest_ts for pusher in pushers) + 1
    with ServerProcess(data_dir, *settings) as again:
        for _ in range(2):
            found = read_lines(again.url, SELECTOR, pushers[0].first_ts, end)
            assert not before - found.keys(), "acknowledged before the backup and lost"
            assert not found.keys() - sent, "nobody sent it"
            assert not [line for line, count in found.items() if count > 1], "there twice"
            with Connection(again.url) as connection:
                assert connection.ask("POST", "/flush").status == 204
        for fault in ("Traceback", "is no record", "are no record", "are lost"):
            assert fault not in again.log_text
        assert again.stop() == 0


def _lines(pushers: list[Pusher]) -> int:
    return sum(len(pusher.known.acknowledged) for pusher in pushers)


def _have_more_than(pushers: list[Pusher], lines: int) -> bool:
    return _lines(pushers) > lines


def _acknowledged(pushers: list[Pusher]) -> set[str]:
    return {line for pusher in pushers for line in pusher.known.acknowledged.copy()}


def _without_links(folder: Path) -> Path:
    """A sitecustomize for the command's process, in which no hard link can be made, as across file systems."""
    site = folder / "site"
    site.mkdir()
    site.joinpath("sitecustomize.py").write_text(
        "import errno, os\n"
        "def link(*_, **__):\n"
        "    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))\n"
        "os.link = link\n"
    )
    return site
