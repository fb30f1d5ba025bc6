"""The sink `file`: what stands in the files, when they are moved aside, and what it does where it cannot write."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gzip
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gateway.client.importing.reading import Fields
from gateway.client.importing.records import rows_of_record
from gateway.emit import file, journal, packing
from gateway.emit.file import FileOptions, FileSink
from gateway.relay.sink import Archived, Failed, Outcome, Outgoing
from tests.gateway.emit.batches import FIRST, outgoing
from tests.server import wait_until

HOUR = 3_600_000_000_000


def run(folder: Path, *batches: Outgoing, **options: Any) -> list[Outcome]:
    """Sends batches through a sink, as one process does."""

    async def body(sink: FileSink) -> list[Outcome]:
        return [await sink.send(batch) for batch in batches]

    return with_sink(folder, body, **options)


def with_sink(folder: Path, body: Callable[[FileSink], Awaitable[list[Outcome]]], **options: Any) -> list[Outcome]:
    async def main() -> list[Outcome]:
        given = {"name": "archive", "path": str(folder / "out.jsonl"), "journal": folder / "state" / "archive.journal"}
        sink = FileSink(FileOptions(**{**given, **options}))
        try:
            return await body(sink)
        finally:
            await sink.close()

    return asyncio.run(main())


def lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    return [json.loads(line)["line"] for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()]


def asides(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith("out.jsonl."))


def test_a_file_has_a_line_of_json_for_each_entry(tmp_path: Path) -> None:
    labels = (("app", "shöp"), ("job", 'a"b'))
    batch = outgoing(["hello\nworld", b"raw \xff", ""], labels=labels, metadata=[("trace", b"abc")])
    assert run(tmp_path, batch) == [Archived()]
    first, second, third = (json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines())
    assert first == {
        "ts": str(FIRST),
        "labels": dict(labels),
        "structuredMetadata": {"trace": "abc"},
        "line": "hello\nworld",
    }
    assert (second["line"], third["line"], third["ts"]) == ("raw \ufffd", "", str(FIRST + 2))


def test_weir_import_reads_what_is_written(tmp_path: Path) -> None:
    run(tmp_path, outgoing(["one", "two"], metadata=[("trace", b"abc")]))
    records = (tmp_path / "out.jsonl").read_text().splitlines()
    found = [row for text in records for row in rows_of_record(json.loads(text), {}, Fields(), UTC, text)]
    labels = (("app", "shop"),)
    assert found == [
        (labels, [str(FIRST), "one", {"trace": "abc"}]),
        (labels, [str(FIRST + 1), "two", {"trace": "abc"}]),
    ]


def test_a_batch_that_comes_again_is_not_written_again(tmp_path: Path) -> None:
    batch, other = outgoing(["a", "b"]), outgoing(["c"])
    assert run(tmp_path, batch, batch) == [Archived(), Archived(deduplicated=True)]
    assert run(tmp_path, batch, other, batch) == [Archived(deduplicated=True), Archived(), Archived(deduplicated=True)]
    assert lines(tmp_path / "out.jsonl") == ["a", "b", "c"]


def test_what_was_not_settled_is_cut_off_at_the_next_start(tmp_path: Path) -> None:
    run(tmp_path, outgoing(["a"]))
    with (tmp_path / "out.jsonl").open("ab") as file:
        file.write(b'{"ts":"1","labels":{},"line":"half of a ba')
    run(tmp_path, outgoing(["b"]))
    assert lines(tmp_path / "out.jsonl") == ["a", "b"]


def test_a_journal_that_ends_in_half_a_line_is_read_up_to_there(tmp_path: Path) -> None:
    batch = outgoing(["a"])
    run(tmp_path, batch)
    with (tmp_path / "state" / "archive.journal").open("ab") as file:
        file.write(b'{"file":"/tm')
    assert run(tmp_path, batch, outgoing(["b"])) == [Archived(deduplicated=True), Archived()]
    assert lines(tmp_path / "out.jsonl") == ["a", "b"]
    assert run(tmp_path, batch) == [Archived(deduplicated=True)]


def test_a_journal_stays_small_and_knows_the_last_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LONGEST", 4000)
    monkeypatch.setattr(journal, "REMEMBERED", 20)
    batches = [outgoing([f"line {number}"], uuid=UUID(int=number + 1)) for number in range(80)]
    run(tmp_path, *batches)
    assert (tmp_path / "state" / "archive.journal").stat().st_size <= 4200
    outcomes = run(tmp_path, *batches[-20:])
    assert outcomes == [Archived(deduplicated=True)] * 20
    assert lines(tmp_path / "out.jsonl") == [f"line {number}" for number in range(80)]


def test_a_file_that_was_there_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_bytes(b'{"line":"older"}\n')
    run(tmp_path, outgoing(["a"]))
    assert lines(tmp_path / "out.jsonl") == ["older", "a"]


def test_tenants_have_files_of_their_own_and_stay_in_their_folder(tmp_path: Path) -> None:
    tenants = ["acme", "../../etc", "..", "a/b", "team.x"]
    run(tmp_path, *(outgoing([each], tenant=each) for each in tenants), path=f"{tmp_path}/logs/{{tenant}}.jsonl")
    found = {path.name: lines(path) for path in (tmp_path / "logs").iterdir()}
    assert found == {
        "acme.jsonl": ["acme"],
        "..%2F..%2Fetc.jsonl": ["../../etc"],
        "%2E%2E.jsonl": [".."],
        "a%2Fb.jsonl": ["a/b"],
        "team.x.jsonl": ["team.x"],
    }


def test_one_file_of_several_tenants_says_whose_a_line_is(tmp_path: Path) -> None:
    run(tmp_path, outgoing(["a"], tenant="acme"), outgoing(["b"], tenant="beta"), show_tenant=True)
    found = [json.loads(line)["labels"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert found == [{"__tenant_id__": "acme", "app": "shop"}, {"__tenant_id__": "beta", "app": "shop"}]


def test_more_tenants_than_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.emit.file.MAX_OPEN", 3)
    batches = [outgoing([str(number)], tenant=f"t{number % 10}") for number in range(30)]
    run(tmp_path, *batches, path=f"{tmp_path}/logs/{{tenant}}")
    for tenant in range(10):
        assert lines(tmp_path / "logs" / f"t{tenant}") == [str(tenant), str(tenant + 10), str(tenant + 20)]


def test_a_large_file_is_moved_aside_and_packed(tmp_path: Path) -> None:
    async def body(sink: FileSink) -> list[Outcome]:
        for number in range(6):
            await sink.send(outgoing([f"line {number} " + "x" * 400]))
        packed = lambda: [path.suffix for path in asides(tmp_path)] == [".gz"] * 3  # noqa: E731
        assert await asyncio.to_thread(wait_until, packed)
        return []

    with_sink(tmp_path, body, rotate_size=800)
    assert not (tmp_path / "out.jsonl").exists()
    found = [line.split(" x")[0] for path in asides(tmp_path) for line in lines(path)]
    assert sorted(found) == [f"line {number}" for number in range(6)]


def test_files_end_with_their_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 500_000 * HOUR + HOUR // 2
    monkeypatch.setattr("time.time_ns", lambda: now)
    run(tmp_path, outgoing(["a"]), rotate_every=HOUR, gzip=False)
    now += HOUR // 4
    run(tmp_path, outgoing(["b"]), rotate_every=HOUR, gzip=False)
    now += HOUR // 4

    async def body(sink: FileSink) -> list[Outcome]:
        nonlocal now
        await sink.send(outgoing(["c"]))
        now += HOUR
        await sink.send(outgoing(["d"]))
        return []

    with_sink(tmp_path, body, rotate_every=HOUR, gzip=False)
    assert [lines(path) for path in asides(tmp_path)] == [["a", "b"], ["c"]]
    assert [path.name for path in asides(tmp_path)] == [
        "out.jsonl.20270115T090000Z",
        "out.jsonl.20270115T100000Z",
    ]
    assert lines(tmp_path / "out.jsonl") == ["d"]


def test_two_files_of_one_second_have_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 500_000 * HOUR)
    run(tmp_path, *(outgoing([str(number)]) for number in range(3)), rotate_size=1, gzip=False)
    assert [lines(path) for path in asides(tmp_path)] == [["0"], ["1"], ["2"]]


def test_what_a_crash_left_unpacked_is_packed_and_what_it_left_half_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"out.jsonl.2027011{day}T090000Z" for day in range(4)]
    (tmp_path / names[0]).write_bytes(b'{"line":"left"}\n')
    (tmp_path / names[1]).write_bytes(b'{"line":"both"}\n')
    (tmp_path / f"{names[1]}.gz").write_bytes(gzip.compress(b'{"line":"both"}\n'))
    (tmp_path / names[2]).write_bytes(b'{"line":"half"}\n')
    (tmp_path / f"{names[2]}.gz.tmp").write_bytes(b"\x1f\x8b")
    (tmp_path / "out.jsonl.old").write_bytes(b"somebody else's")
    monkeypatch.setattr(packing, "_CHUNK", 4)

    async def body(sink: FileSink) -> list[Outcome]:
        await sink.send(outgoing(["a"]))
        plain = [tmp_path / name for name in names]
        assert await asyncio.to_thread(wait_until, lambda: not any(path.exists() for path in plain))
        return []

    with_sink(tmp_path, body)
    assert [path.name for path in asides(tmp_path)] == [*(f"{name}.gz" for name in names[:3]), "out.jsonl.old"]
    assert [lines(tmp_path / f"{name}.gz") for name in names[:3]] == [["left"], ["both"], ["half"]]


def test_a_file_that_others_took_away_is_begun_anew(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    async def body(sink: FileSink) -> list[Outcome]:
        await sink.send(outgoing(["a"]))
        out.rename(tmp_path / "taken")
        await sink.send(outgoing(["b"]))
        os.truncate(out, 0)
        return [await sink.send(outgoing(["c"]))]

    assert with_sink(tmp_path, body) == [Archived()]
    assert (lines(tmp_path / "taken"), lines(out)) == (["a"], ["c"])


def test_a_full_disk_is_a_failure_that_leaves_no_half_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, batch = os.pwrite, outgoing(["b" * 100])
    room = True

    def full(fd: int, data: Any, place: int) -> int:
        if not room and len(data) > 20:
            return write(fd, bytes(data)[:20], place)
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data, place)

    monkeypatch.setattr(os, "pwrite", full)

    async def body(sink: FileSink) -> list[Outcome]:
        nonlocal room
        found = [await sink.send(outgoing(["a"]))]
        room = False
        found.append(await sink.send(batch))
        assert lines(tmp_path / "out.jsonl") == ["a"]
        room = True
        return [*found, await sink.send(batch)]

    first, second, third = with_sink(tmp_path, body)
    assert isinstance(second, Failed)
    assert "No space left on device" in second.reason
    assert (first, third) == (Archived(), Archived())
    assert lines(tmp_path / "out.jsonl") == ["a", "b" * 100]


@pytest.mark.parametrize("call", ["fdatasync", "open"])
def test_what_is_not_durable_is_not_archived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    really = getattr(os, call)
    fails = True

    def failing(*args: Any, **kwargs: Any) -> Any:
        if fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(*args, **kwargs)

    async def body(sink: FileSink) -> list[Outcome]:
        nonlocal fails
        monkeypatch.setattr(os, call, failing)
        try:
            first = await sink.send(batch)
        finally:
            fails = False
        return [first, await sink.send(batch)]

    batch = outgoing(["a"])
    failed, archived = with_sink(tmp_path, body)
    assert isinstance(failed, Failed)
    assert "Input/output error" in failed.reason
    assert archived == Archived()
    assert lines(tmp_path / "out.jsonl") == ["a"]


def test_a_file_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    with (tmp_path / "out.jsonl").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        (outcome,) = run(tmp_path, outgoing(["a"]))
    assert isinstance(outcome, Failed)
    assert "another process writes to it" in outcome.reason
    assert run(tmp_path, outgoing(["a"])) == [Archived()]


def test_folders_on_the_way_are_made_and_what_is_no_folder_is_told(tmp_path: Path) -> None:
    assert run(tmp_path, outgoing(["a"]), path=f"{tmp_path}/x/y/z.jsonl") == [Archived()]
    (outcome,) = run(tmp_path, outgoing(["a"]), path=f"{tmp_path}/x/y/z.jsonl/more")
    assert isinstance(outcome, Failed)


def test_a_file_that_cannot_be_moved_aside_is_written_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be written, around a file that may: as in /var/log."""

    def refused(_path: Path, _target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    batches = [outgoing(["a" * 100]), outgoing(["b" * 100]), outgoing(["c" * 100]), outgoing(["d" * 100])]

    async def body(sink: FileSink) -> list[Outcome]:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", refused)
            outcomes = [await sink.send(batch) for batch in batches[:2]]
        monkeypatch.setattr(file, "ROTATES_AGAIN", 0.0)
        sink._rotates_after = 0.0
        return [*outcomes, *[await sink.send(batch) for batch in batches[2:]]]

    assert with_sink(tmp_path, body, rotate_size=50, gzip=False) == [Archived()] * 4
    first, second = asides(tmp_path)
    assert [line[0] for line in lines(first)] == ["a", "b", "c"]
    assert [line[0] for line in lines(second)] == ["d"]


def test_a_tenant_of_a_long_name_has_a_file_of_its_own(tmp_path: Path) -> None:
    tenants = ["!" * 150, "!" * 149 + "*"]
    batches = [outgoing([tenant[-1]], tenant=tenant) for tenant in tenants]
    assert run(tmp_path, *batches, path=str(tmp_path / "{tenant}.jsonl")) == [Archived()] * 2
    found = sorted(line for path in tmp_path.glob("*.jsonl") for line in lines(path))
    assert found == ["!", "*"]
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_a_packed_file_is_for_whom_the_file_was_for(tmp_path: Path) -> None:
    run(tmp_path, outgoing(["a" * 100]))
    (tmp_path / "out.jsonl").chmod(0o600)

    async def body(sink: FileSink) -> list[Outcome]:
        outcomes = [await sink.send(outgoing(["b" * 100]))]
        assert await asyncio.to_thread(wait_until, lambda: [path.suffix for path in asides(tmp_path)] == [".gz"])
        return outcomes

    assert with_sink(tmp_path, body, rotate_size=50) == [Archived()]
    (packed,) = asides(tmp_path)
    assert packed.stat().st_mode & 0o777 == 0o600
