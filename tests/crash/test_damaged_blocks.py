"""Files of a data directory that were damaged: a real server goes on with the rest and says what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.forks import ForkedServer, Forks
from tests.gateway.weir_command import weir
from tests.server import ServerProcess

DAY = 86_400
ROWS = 40
"""Entries of each day."""


def push(url: str, day: int) -> None:
    """A block's worth of entries of a day, `day` days ago."""
    begin = (int(time.time()) // DAY - day) * DAY + 3600
    values = [[str((begin + at) * 10**9), f"day {day} line {at}"] for at in range(ROWS)]
    body = {"streams": [{"stream": {"app": "shop", "day": str(day)}, "values": values}]}
    httpx.post(f"{url}/loki/api/v1/push", json=body).raise_for_status()


def filled(server: ServerProcess) -> list[Path]:
    """Blocks of three days, the oldest first."""
    for day in (3, 2, 1):
        push(server.url, day)
        httpx.post(f"{server.url}/flush").raise_for_status()
    blocks = sorted(server.data_dir.glob("blocks/*/*/*.parquet"))
    assert len(blocks) == 3
    return blocks


def asked(url: str, query: str, days: float = 5, until: float = 0, path: str = "query_range") -> dict[str, Any]:
    end = time.time() - until
    parameters: dict[str, str | float] = {
        "query": query,
        "start": int(end - days * DAY),
        "end": int(end),
        "step": "1d",
        "limit": 1000,
    }
    answer = httpx.get(f"{url}/loki/api/v1/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def lines(answer: dict[str, Any]) -> list[str]:
    return sorted(line for stream in answer["data"]["result"] for _, line in stream["values"])


def told(answer: dict[str, Any]) -> list[str]:
    warnings: list[str] = answer.get("warnings", [])
    return warnings


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for at in range(60, len(content) // 2):  # every page: times, streams and lines
        content[at] ^= 0x55
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def take_away(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut_short, flip_a_page, empty, take_away])
def test_a_damaged_block_is_set_aside_and_named_and_the_rest_answers(
    tmp_path: Path, forks: Forks, damage: Callable[[Path], None]
) -> None:
    with ForkedServer(forks, tmp_path / "data") as server:
        blocks = filled(server)
        server.stop()
        damage(blocks[1])
        server.start()
        expected = sorted(f"day {day} line {at}" for day in (3, 1) for at in range(ROWS))
        first = asked(server.url, '{app="shop"}')
        assert lines(first) == expected
        counted = asked(server.url, 'sum(count_over_time({app="shop"}[1d]))')
        assert sum(float(value) for _, value in counted["data"]["result"][0]["values"]) == 2 * ROWS
        if damage is not take_away:  # such a block is gone before anything can be known of it but its name
            volumes = [asked(server.url, '{app="shop"}', path=f"index/{path}") for path in ("volume", "volume_range")]
            for answer in (first, counted, asked(server.url, '{app="shop"} |= "line 1"'), *volumes):
                [warning] = told(answer)
                assert blocks[1].stem in warning
                assert "its 40 entries" in warning
            printed = weir("volume", '{app="shop"}', "--since", "5d", "--addr", server.url)
            assert (printed.returncode, blocks[1].stem in printed.stderr) == (4, True)
            moved = server.data_dir / "quarantine" / blocks[1].relative_to(server.data_dir)
            assert moved.exists()
            assert server.log_text.count("is damaged and was set aside") == 1
            assert "weir_blocks_set_aside 1" in httpx.get(f"{server.url}/metrics").text
        assert not blocks[1].exists()
        behind = time.time() - (int(time.time()) // DAY - 2) * DAY - 3600 - ROWS
        assert told(asked(server.url, '{app="shop"}', days=behind / DAY)) == []
        server.stop()
        server.start()
        again = asked(server.url, '{app="shop"}')
        assert (lines(again), told(again)) == (expected, told(first))


def test_a_block_that_was_mended_comes_back(tmp_path: Path, forks: Forks) -> None:
    with ForkedServer(forks, tmp_path / "data") as server:
        blocks = filled(server)
        whole = blocks[0].read_bytes()
        server.stop()
        flip_a_page(blocks[0])
        server.start()
        assert len(told(asked(server.url, '{app="shop"}'))) == 1
        aside = server.data_dir / "quarantine" / blocks[0].relative_to(server.data_dir)
        server.stop()
        aside.write_bytes(whole)
        aside.rename(blocks[0])
        server.start()
        answer = asked(server.url, '{app="shop"}')
        assert (len(lines(answer)), told(answer)) == (3 * ROWS, [])


def test_a_block_that_is_damaged_while_the_server_runs(tmp_path: Path, forks: Forks) -> None:
    with ForkedServer(forks, tmp_path / "data") as server:
        blocks = filled(server)
        # Another inode, as a file system that lost it would give: what is mapped already stays as it was.
        damaged = blocks[2].with_suffix(".damaged")
        damaged.write_bytes(blocks[2].read_bytes()[: blocks[2].stat().st_size // 2])
        damaged.rename(blocks[2])
        answer = asked(server.url, '{app="shop"}')
        assert len(lines(answer)) == 2 * ROWS
        assert len(told(answer)) == 1
        push(server.url, 1)  # the same entries once more: nothing knows of the lost ones
        assert len(lines(asked(server.url, '{app="shop"}'))) == 3 * ROWS


def test_a_footer_that_cannot_be_read_without_index_db(tmp_path: Path, forks: Forks) -> None:
    with ForkedServer(forks, tmp_path / "data") as server:
        blocks = filled(server)
        server.stop()
        cut_short(blocks[1])
        for name in server.data_dir.glob("index.db*"):
            name.unlink()
        server.start()
        answer = asked(server.url, '{app="shop"}')
        assert len(lines(answer)) == 2 * ROWS
        [warning] = told(answer)
        assert blocks[1].stem in warning
        assert "its entries between" in warning


def test_a_damaged_index_is_made_anew(tmp_path: Path, forks: Forks) -> None:
    with ForkedServer(forks, tmp_path / "data") as server:
        filled(server)
        before = lines(asked(server.url, '{app="shop"}'))
        server.stop()
        (server.data_dir / "index.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 64)
        server.start()
        answer = asked(server.url, '{app="shop"}')
        assert (lines(answer), told(answer)) == (before, [])
        assert "remade" in server.log_text


def test_a_damaged_control_db_refuses_to_start_and_says_how_to_go_on(tmp_path: Path, forks: Forks) -> None:
    with ForkedServer(forks, tmp_path / "data") as server:
        filled(server)
        server.stop()
        (server.data_dir / "control.db").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 64)
        server.launch()
        assert server.wait(60) != 0
        assert "control.db" in server.log_text
        assert "restore it from a backup" in server.log_text
        assert "rename control.db to control.db.lost" in server.log_text
        (server.data_dir / "control.db").unlink()
        server.launch()
        assert server.wait(60) != 0
        assert "control.db is missing. It holds what must not be forgotten" in server.log_text
        (server.data_dir / "control.db.lost").touch()
        server.start()
        assert "control.db is made anew" in server.log_text
        assert len(lines(asked(server.url, '{app="shop"}'))) == 3 * ROWS
