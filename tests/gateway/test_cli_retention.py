from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.deletes import read_delete
from storage import CompactionOptions, DeleteOptions, FlushOptions, StoreOptions, open_store
from tests.gateway.weir_command import weir
from tests.server import ServerProcess
from tests.storage.entries import DAY, HOUR, Entry, entry, read, stored

DAY_AND_A_HALF = DAY + DAY // 2

RULES = """
retention: {period: 10d}
limits:
  retention_stream: [{selector: '{app="short"}', period: 1d, priority: 1}]
overrides:
  kept: {retention_period: 0, retention_stream: []}
"""


def options() -> StoreOptions:
    return StoreOptions(
        reserve=4096, flush=FlushOptions(max_age=1e9, small_tenant=0), compaction=CompactionOptions(enabled=False)
    )


def filled(folder: Path, *tenants: str) -> Path:
    """Of each tenant a block of twelve days ago, and one of a day and a half ago with entries of two streams.

    By RULES the first has expired whole, and of the second the three entries of one stream.
    """
    now = time.time_ns()
    data_dir = folder / "data"
    store = open_store(data_dir, options())
    try:
        for tenant in tenants or ("fake",):
            stored(
                store, [entry(app, now - 12 * DAY + at, "12345") for app in ("short", "long") for at in (0, 1)], tenant
            )
            store.flush()
            recent = [entry("short", now - DAY_AND_A_HALF + at, "12345") for at in range(3)]
            stored(store, [*recent, entry("long", now - DAY_AND_A_HALF, "12345")], tenant)
            store.flush()
    finally:
        store.close()
    return data_dir


def command(
    folder: Path, *flags: str, text: str = RULES, env: Mapping[str, str] | None = None
) -> tuple[int, list[str], str]:
    """Exit code, rows of stdout with runs of spaces as one, stderr."""
    file = folder / "weir.yml"
    file.write_text(text)
    done = weir("retention", "--config", str(file), "--data-dir", str(folder / "data"), *flags, env=env)
    rows = [re.sub(" +", " ", row) for row in done.stdout.splitlines()]
    return done.returncode, rows, done.stderr


def entries(data_dir: Path, tenant: str = "fake") -> list[Entry]:
    """What is there, whatever the rules."""
    store = open_store(data_dir, options())
    try:
        return read(store, tenant)
    finally:
        store.close()


def without_times(rows: list[str]) -> list[str]:
    return [re.sub(r"\d{4}-\d\d-\d\dT\S+Z", "TIME", row) for row in rows]


def test_a_dry_run_says_what_would_go_by_tenant_and_rule_and_takes_nothing(tmp_path: Path) -> None:
    data_dir = filled(tmp_path, "acme", "kept")
    code, rows, errors = command(tmp_path, "--dry-run")
    assert (code, errors) == (0, "")
    size = next(data_dir.glob("blocks/acme/*/*.parquet")).stat().st_size
    assert size > 1024
    told = without_times(rows)
    assert told[0] == "as of TIME, by the clock of this machine"
    assert told[2:5] == [
        "tenant rule period streams entries bytes oldest",
        'acme {app="short"} (priority 1) 1d 1 5 25 B TIME',
        "acme retention.period 10d 1 2 10 B TIME",
    ]
    assert re.fullmatch(r"1 block of 4 entries, [\d.]+ KiB on disk, the oldest of TIME: has expired whole", told[6])
    assert told[7] == "1 other blocks have expired entries among others"
    assert len(entries(data_dir, "acme")) == len(entries(data_dir, "kept")) == 8


def test_a_dry_run_leaves_out_what_a_delete_hides(tmp_path: Path) -> None:
    data_dir = filled(tmp_path)
    now = time.time_ns()
    store = open_store(data_dir, replace(options(), deletes=DeleteOptions(read_delete, cancel_period=1e6)))
    try:
        store.delete("fake", '{app="short"} |= "234"', now - 2 * DAY, now - DAY_AND_A_HALF - 1_000_000_000, "a test")
        store.delete("fake", '{app="short"} |= "234"', now - 2 * DAY, now, "a test")
        store.delete("fake", '{app="short"} |= "9"', 0, now, "a test")
        store.delete("fake", '{app="long"}', 0, now - 11 * DAY, "a test")
        store.cancel_delete("fake", store.delete("fake", "{}", 0, now, "a test").id)
    finally:
        store.close()
    code, rows, errors = command(tmp_path, "--dry-run")
    assert (code, errors) == (0, "")
    told = without_times(rows)
    assert told[3:5] == ['fake {app="short"} (priority 1) 1d 1 2 10 B TIME', ""]
    assert re.fullmatch(r"1 block of 2 entries, [\d.]+ KiB on disk, the oldest of TIME: has expired whole", told[5])


def test_without_it_what_was_told_goes(tmp_path: Path) -> None:
    data_dir = filled(tmp_path, "acme", "kept")
    code, rows, errors = command(tmp_path)
    assert (code, errors) == (0, ""), errors
    assert len(rows) == 1
    assert re.fullmatch(r"removed 1 blocks of [\d.]+ KiB, and 3 expired entries from 1 others", rows[0])
    assert [dict(labels)["app"] for labels, *_ in entries(data_dir, "acme")] == ["long"]
    assert len(entries(data_dir, "kept")) == 8
    code, rows, _ = command(tmp_path, "--dry-run")
    assert code == 0
    assert rows[1] == "nothing is to be removed"


def test_what_was_only_in_the_log_goes_too(tmp_path: Path) -> None:
    store = open_store(tmp_path / "data", options())
    stored(store, [entry("a", time.time_ns() - at * DAY, str(at)) for at in (1, 11, 12)], "fake")
    store.close()
    code, rows, _ = command(tmp_path, "--dry-run")
    assert code == 0
    assert rows[1] == "nothing is to be removed"
    assert rows[2].startswith("not counted: the write-ahead log, ")
    assert command(tmp_path)[0] == 0
    assert [line for _, _, line, _ in entries(tmp_path / "data")] == [b"1"]


def test_size_and_space(tmp_path: Path) -> None:
    data_dir = filled(tmp_path)
    text = "retention: {max_total_size: 1, min_free_space: 99%}\n"
    code, rows, _ = command(tmp_path, "--dry-run", text=text)
    assert code == 0
    told = without_times(rows)
    assert re.fullmatch(
        r"2 blocks of 8 entries, [\d.]+ KiB on disk, the oldest of TIME: is over retention.max_total_size", told[2]
    )
    assert command(tmp_path, text=text)[0] == 0
    assert entries(data_dir) == []


def test_days_of_the_environment(tmp_path: Path) -> None:
    filled(tmp_path)
    _, rows, _ = command(tmp_path, "--dry-run", text="", env={"LOG_RETENTION_DAYS": "1.25"})
    assert without_times(rows)[3] == "fake retention.period 1d6h 2 8 40 B TIME"


def test_beside_a_server_it_only_tells(tmp_path: Path) -> None:
    data_dir = filled(tmp_path)
    with ServerProcess(data_dir) as server:
        code, rows, _ = command(tmp_path, "--dry-run")
        assert code == 0
        assert rows[3].startswith("fake ")
        code, rows, errors = command(tmp_path)
        assert (code, rows) == (1, [])
        assert f"in use by weir process {server.pid}" in errors
        assert "--dry-run says what" in errors


def test_a_damaged_block_is_named_and_the_rest_told(tmp_path: Path) -> None:
    data_dir = filled(tmp_path)
    oldest = min(data_dir.glob("blocks/*/*/*.parquet"))
    oldest.write_bytes(oldest.read_bytes()[:-100])
    code, rows, errors = command(tmp_path, "--dry-run")
    assert code == 1
    assert without_times(rows)[3] == 'fake {app="short"} (priority 1) 1d 1 3 15 B TIME'
    assert oldest.name in errors


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "limits: {retention_stream: [{selector: '{app=', period: 1d}]}\n",
            "limits.retention_stream: '{app=' is not a stream selector: ",
        ),
        (
            'overrides: {x: {retention_stream: [{selector: \'{app="a"} |= "b"\', period: 1d}]}}\n',
            'overrides.x.retention_stream: \'{app="a"} |= "b"\' is not a stream selector: ',
        ),
        ("retention: {period: 30m}\n", "retention.period: '30m' is not a duration of 1h or more"),
    ],
)
def test_rules_that_are_none_end_every_command(tmp_path: Path, text: str, told: str) -> None:
    filled(tmp_path)
    code, _, errors = command(tmp_path, "--dry-run", text=text)
    assert code == 2
    assert told in errors
    for name in (["config", "check"], ["serve", "--http", "127.0.0.1:0", "--forward", "off"]):
        done = weir(*name, "--config", str(tmp_path / "weir.yml"), env={"WEIR_DATA_DIR": str(tmp_path / "data")})
        assert done.returncode == 2
        assert told in done.stderr


def test_without_a_rule_nothing_expires(tmp_path: Path) -> None:
    filled(tmp_path)
    for flags in ((), ("--dry-run",)):
        assert command(tmp_path, *flags, text="") == (0, ["nothing ever expires: no retention is set"], "")


def test_a_folder_that_is_none_of_weirs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    code, _, errors = command(tmp_path)
    assert code == 2
    assert "it has no file `origin`" in errors


def test_the_setting_that_says_a_period_is_named(tmp_path: Path) -> None:
    filled(tmp_path)
    for text, name in [
        ("overrides: {fake: {retention_period: 5d}}", "overrides.fake.retention_period"),
        ("limits: {retention_period: 5d}", "limits.retention_period"),
    ]:
        _, rows, _ = command(tmp_path, "--dry-run", text=text)
        assert without_times(rows)[3] == f"fake {name} 5d 2 4 20 B TIME"


def test_an_hour_is_the_least_and_counts_to_the_second(tmp_path: Path) -> None:
    now = time.time_ns()
    store = open_store(tmp_path / "data", options())
    stored(store, [entry("a", now - HOUR - 60 * 10**9, "old"), entry("a", now - HOUR + 600 * 10**9, "new")], "fake")
    store.flush()
    store.close()
    _, rows, _ = command(tmp_path, "--dry-run", text="retention: {period: 1h}\n")
    assert without_times(rows)[3] == "fake retention.period 1h 1 1 3 B TIME"
