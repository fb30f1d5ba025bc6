"""Real log files through a real server: every line comes back, and what they take on disk.

WEIR_LOGS names a folder of text files, which are nobody's to ship: the LogHub samples, say, or /var/log.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import ServerProcess, running_server

FOLDER = os.environ.get("WEIR_LOGS", "")
MOST = 0.20
"""Part of the payload (bytes of the lines) that blocks may take once they are compacted."""
A_PUSH = 1000
SECOND = 10**9
SAMPLE = b"".join(
    b"Nov %2d 04:%02d:%02d host-%d sshd[%d]: Failed password for user%d from 10.0.%d.%d port %d ssh2\n"
    % (n % 30 + 1, n // 60 % 60, n % 60, n % 7, 1000 + n % 50, n % 40, n % 4, n % 250, 30_000 + n % 5000)
    for n in range(4000)
)
"""What the small form replays: lines like those of a real sshd."""


def lines_of(path: Path) -> list[str]:
    """The lines as an agent would send them: without their ends, what is no UTF-8 replaced."""
    return path.read_bytes().decode("utf-8", "replace").splitlines()


def push(server: ServerProcess, name: str, lines: list[str], begin: int) -> None:
    for first in range(0, len(lines), A_PUSH):
        values = [[str(begin + n * SECOND), line] for n, line in enumerate(lines[first : first + A_PUSH], first)]
        body = {"streams": [{"stream": {"job": "real", "file": name}, "values": values}]}
        answer = httpx.post(f"{server.url}/loki/api/v1/push", json=body, timeout=60)
        assert answer.status_code == 204, answer.text


def read_back(server: ServerProcess, name: str, begin: int, count: int) -> list[str]:
    selector = f'{{job="real", file="{name}"}}'
    span: dict[str, Any] = {"start": begin, "end": begin + count * SECOND, "direction": "forward"}
    answer = httpx.get(
        f"{server.url}/weir/v1/export", params={"query": selector, **span, "format": "ndjson"}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    rows = [json.loads(row) for row in answer.text.splitlines()]
    assert rows[-1]["mark"]["complete"]
    return [row["line"] for row in rows if "line" in row]


def disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def replayed(data: Path, files: dict[str, list[str]]) -> float:
    """Pushes files, flushes and compacts; the part of the payload that is on disk then."""
    payload = sum(len(line.encode()) for lines in files.values() for line in lines)
    begin = (time.time_ns() // SECOND - max(map(len, files.values())) - 60) * SECOND
    with running_server(data) as server:
        for name, lines in files.items():
            push(server, name, lines, begin)
        for step in ("flush", "weir/v1/compact"):
            assert httpx.post(f"{server.url}/{step}", timeout=300).status_code == 204
            print(f"after {step}: {disk(data / 'blocks')} of {payload} bytes, {disk(data / 'blocks') / payload:.1%}")
        for name, lines in files.items():
            assert read_back(server, name, begin, len(lines)) == lines, name
    return disk(data / "blocks") / payload


def test_lines_like_real_ones_come_back_and_take_little(tmp_path: Path) -> None:
    assert replayed(tmp_path / "data", {"sshd.log": SAMPLE.decode().splitlines()}) <= MOST


@pytest.mark.soak
@pytest.mark.skipif(not FOLDER, reason="WEIR_LOGS names no folder of log files")
def test_real_log_files_come_back_and_take_a_fifth_at_most(tmp_path: Path) -> None:
    files = {path.name: lines_of(path) for path in sorted(Path(FOLDER).glob("*.log"))}
    assert files, f"no *.log in {FOLDER}"
    share = replayed(tmp_path / "data", files)
    print(f"{len(files)} files, {sum(map(len, files.values()))} lines: {share:.1%} of their bytes")
    assert share <= MOST
