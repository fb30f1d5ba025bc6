"""docs/parquet.md, word for word: its SQL and its Python read the blocks of a real server."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from tests.server import running_server

PAGE = (Path(__file__).parent.parent.parent / "docs" / "parquet.md").read_text("utf-8")
TWO = datetime(2026, 8, 22, 14)  # noqa: DTZ001 - DuckDB's TIMESTAMP has no zone
TRACE = "4bf92f3577b34da6"
ODD = 'say "hi", env="none"\\'
"""A label value that would be taken for another label if quotes were not heeded."""

SHOP, WEB, OTHER = {"app": "shop", "env": "prod"}, {"app": "web", "env": "prod"}, {"app": ODD}
LINES: list[tuple[dict[str, str], float, str, dict[str, str]]] = [
    *((SHOP, 60.0 * at, f'{{"status":{200 + 300 * (at % 2)},"ms":{at}}}', {}) for at in range(10)),
    (SHOP, 30.5, "level=error no JSON", {"trace_id": TRACE}),
    *((WEB, 3600.0 + at, f"GET /{at} über", {"pod": f"pod{at}"}) for at in range(5)),
    (OTHER, 86_400.0, "the next day", {"trace_id": TRACE}),
]
"""(labels, seconds after two o'clock, line, metadata)"""


def sql(heading: str) -> list[str]:
    section = PAGE.split(f"### {heading}\n", 1)[1].split("\n#", 1)[0]
    return re.findall(r"^```sql\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data directory `data`: blocks of three flushes, that differ in their columns."""
    where = tmp_path_factory.mktemp("parquet")
    with running_server(where / "data") as server:
        for third in range(3):
            streams = [
                {"stream": labels, "values": [[_time(after), line, metadata]]}
                for labels, after, line, metadata in LINES[third::3]
            ]
            answer = httpx.post(f"{server.url}/loki/api/v1/push", json={"streams": streams})
            assert answer.status_code == 204, answer.text
            assert httpx.post(f"{server.url}/flush", timeout=60).status_code == 204
        assert server.stop() == 0
    return where


def _time(after: float) -> str:
    return str(int(((TWO - datetime(1970, 1, 1)).total_seconds() + after) * 1000) * 1_000_000)  # noqa: DTZ001 - as above


@pytest.fixture
def ask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in that folder, with the page's view and macro."""
    monkeypatch.chdir(folder)
    with duckdb.connect() as connection:
        for statement in [*sql("A view of all lines"), sql("Count by label")[0].split(";")[0]]:
            connection.execute(statement)
        yield connection


def rows(ask: duckdb.DuckDBPyConnection, heading: str, place: int = 0) -> list[tuple[Any, ...]]:
    return ask.execute(sql(heading)[place].rsplit(";\n\n", 1)[-1]).fetchall()


def at(after: float) -> datetime:
    return TWO + timedelta(seconds=after)


def test_lines_are_counted_by_stream(ask: duckdb.DuckDBPyConnection) -> None:
    quoted = ODD.replace("\\", "\\\\").replace('"', '\\"')
    assert rows(ask, "Count by stream") == [
        ('{app="shop", env="prod", service_name="shop"}', 11, at(0), at(540)),
        ('{app="web", env="prod", service_name="web"}', 5, at(3600), at(3604)),
        (f'{{app="{quoted}", service_name="{quoted}"}}', 1, at(86_400), at(86_400)),
    ]


def test_lines_are_counted_by_label(ask: duckdb.DuckDBPyConnection) -> None:
    quoted = ODD.replace("\\", "\\\\").replace('"', '\\"')
    assert rows(ask, "Count by label") == [("shop", 11), ("web", 5), (quoted, 1)]
    assert ask.execute("SELECT DISTINCT label(stream, 'env') AS env FROM logs ORDER BY env").fetchall() == [
        ("",),
        ("prod",),
    ]


def test_a_time_range_has_what_is_in_it(ask: duckdb.DuckDBPyConnection) -> None:
    shop = sorted((after, line) for labels, after, line, _ in LINES if labels is SHOP and after < 300)
    assert rows(ask, "A time range") == [(at(after), line) for after, line in shop]


def test_a_day_is_a_folder(ask: duckdb.DuckDBPyConnection) -> None:
    found = rows(ask, "A time range", 1)
    assert sum(count for _, count in found) == len(LINES) - 1
    assert found[0] == (at(0), 2)
    assert found[-1] == (at(3600), 5)


def test_metadata_has_columns(ask: duckdb.DuckDBPyConnection) -> None:
    assert rows(ask, "Structured metadata") == [("unknown", 16), ("error", 1)]
    assert [(ts, text) for ts, _, text in rows(ask, "Structured metadata", 1)] == [
        (at(30.5), "level=error no JSON"),
        (at(86_400), "the next day"),
    ]


def test_fields_of_json_lines_are_read(ask: duckdb.DuckDBPyConnection) -> None:
    assert rows(ask, "Fields of JSON lines") == [("200", 4.0), ("500", 5.0)]


def test_lines_go_to_a_file(ask: duckdb.DuckDBPyConnection, folder: Path) -> None:
    rows(ask, "To a file")
    with (folder / "web.csv").open(encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == [f"GET /{number} über" for number in range(5)]


def test_blocks_that_were_merged_into_another_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """A file that says so of another stands in for a compaction in the moment before it removes its sources."""
    import pyarrow.parquet as pq

    days = tmp_path / "data" / "blocks" / "fake" / "2026-08-22"
    days.mkdir(parents=True)
    blocks = sorted((folder / "data" / "blocks" / "fake" / "2026-08-22").glob("*.parquet"))
    assert len(blocks) == 3
    for block in blocks:
        (days / block.name).write_bytes(block.read_bytes())
    table = pq.read_table(blocks[0])
    said = {b"weir": b'{"sources": ["%s"]}' % blocks[0].stem.encode()}
    pq.write_table(table.replace_schema_metadata(said), days / "7ZZZZZZZZZZZZZZZZZZZZZZZZZ.parquet")
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as connection:
        connection.execute(sql("A view of all lines")[0])
        (count,) = connection.execute("SELECT count(*) FROM logs").fetchone() or (0,)
        assert count == len(LINES) - 1


def test_bytes_that_are_no_utf_8_are_shown(ask: duckdb.DuckDBPyConnection) -> None:
    expression = re.search(r"coalesce\(.*?\) AS text", sql("A view of all lines")[0])
    assert expression is not None
    found = ask.execute(f"SELECT {expression[0]} FROM (VALUES ('\\xFFa'::BLOB), ('ok'::BLOB)) AS t(line)").fetchall()
    assert found == [("\\xFFa",), ("ok",)]


def test_pyarrow_reads_all_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(program, names)
    assert sorted(names["lines"]["line"].to_pylist()) == sorted(line.encode() for _, _, line, _ in LINES)
