"""FORMAT.md is what readers of others go by: these read a log and a block by it alone, with no code of storage/."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import google_crc32c
import lz4.block
import msgpack
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from storage.errors import StorageUnavailable
from storage.record import Request, Section
from storage.streams import StreamTable
from storage.wal import SyncMode
from tests.storage.entries import DAY, NOON, Entry, entry, in_order, packed, quiet, start, stored
from tests.storage.logs import Faults, open_log, section_of

WIDE = [entry("w", NOON + n, f"wide {n}", **{f"k{n}-{k}": f"{n}" for k in range(40)}) for n in range(3)]
ROWS = [
    entry("a", NOON, "one", trace="1", level="info"),
    entry("b", NOON + 1, b"\xff\xfe", level="info"),
    entry("a", NOON + 2, b"x" * 5000),
]


def read_frames(path: Path) -> tuple[dict[str, Any], list[tuple[int, int, bytes]]]:
    """The header, and (number, kind, body) of every record."""
    raw = path.read_bytes()
    assert raw[:8] == b"WEIRWAL\x02"
    number, first, crc = struct.unpack_from("<QQI", raw, 24)
    assert google_crc32c.value(raw[:40]) == crc
    assert raw[44:64] == bytes(20)
    assert path.name == f"{number:012d}.wal"
    salt = hashlib.sha256(raw[8:24] + struct.pack("<Q", number)).digest()
    at, records = 64, []
    while at < len(raw):
        magic, crc, stored_size, size, seq, kind, codec = struct.unpack_from("<4sIQQQBB", raw, at)
        assert magic == b"WREC"
        stored_body = raw[at + 40 : at + 40 + stored_size]
        assert google_crc32c.value(salt + struct.pack("<Q", at) + raw[at + 8 : at + 40] + stored_body) == crc
        body = stored_body
        if codec == 1:
            body = lz4.block.decompress(stored_body, uncompressed_size=size)
        elif codec == 2:
            short, long = struct.unpack_from("<II", stored_body)
            body = lz4.block.decompress(stored_body[8 : 8 + short], uncompressed_size=long) + stored_body[8 + short :]
        assert len(body) == size
        records.append((seq, kind, body))
        at += 40 + stored_size
    return {"origin": raw[8:24], "number": number, "first": first}, records


def read_section(
    section: dict[str, Any], buffers: list[bytes], blocks: bytearray, known: dict[int, Any]
) -> list[Entry]:
    def texts() -> list[bytes]:
        lengths = struct.unpack(f"<{len(buffers[0]) // 4}I", buffers.pop(0))
        data, found, at = buffers.pop(0), [], 0
        for length in lengths:
            found.append(data[at : at + length])
            at += length
        return found

    def packed(block_list: list[list[int]]) -> list[bytes]:
        lengths, gaps = numbers("I"), numbers("I")
        found: list[bytes] = []
        for rows, size, unpacked in block_list:
            data = pa.decompress(bytes(blocks[:size]), unpacked, "snappy").to_pybytes()
            del blocks[:size]
            at = 0
            for row in range(len(found), len(found) + rows):
                at += gaps[row]
                found.append(data[at : at + lengths[row]])
                at += lengths[row]
        return found

    def numbers(kind: str) -> tuple[int, ...]:
        raw = buffers.pop(0)
        return struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw)

    known.update((number, tuple(map(tuple, labels))) for number, labels in section["streams"])
    stream, ts = numbers("i"), numbers("q")
    lines = packed(section["blocks"]) if "blocks" in section else texts()
    metadata: list[dict[str, bytes]] = [{} for _ in stream]
    for key in section["keys"]:
        codes, values = numbers("i"), texts()
        for row, code in enumerate(codes):
            if code >= 0:
                metadata[row][key] = values[code]
    if section["rest"] is not None:
        offsets, keys, values = numbers("q"), numbers("i"), texts()
        for row in range(len(stream)):
            for pair in range(offsets[row], offsets[row + 1]):
                metadata[row][section["rest"][keys[pair]]] = values[pair]
    assert section["rows"] == len(stream) == sum(rows for rows, _, _ in section["requests"])
    return [
        (known[stream[row]], ts[row], lines[row], tuple(sorted(metadata[row].items()))) for row in range(len(stream))
    ]


def read_log(path: Path) -> list[tuple[int, int, list[tuple[str, list[Entry], Any]]]]:
    """(number, kind, [(tenant, entries, covers)]) of the entries and carried records of a segment."""
    known: dict[str, dict[int, Any]] = {}
    found = []
    for seq, kind, body in read_frames(path)[1]:
        if kind == 2:
            continue
        (size,) = struct.unpack_from("<I", body)
        head = msgpack.unpackb(body[4 : 4 + size])
        at = -(-(4 + size) // 8) * 8
        buffers = []
        for length in head["buffers"]:
            buffers.append(body[at : at + length])
            at += -(-length // 8) * 8
        blocks = bytearray(body[at:])
        sections = [
            (
                section["tenant"],
                read_section(section, buffers, blocks, known.setdefault(section["tenant"], {})),
                section["covers"],
            )
            for section in head["sections"]
        ]
        found.append((seq, kind, [item for item in sections if item[1]]))
    return found


def test_a_log_is_what_the_document_says(tmp_path: Path) -> None:
    store = start(tmp_path, quiet(small_tenant=1 << 20))
    stored(store, ROWS)
    stored(store, WIDE, "wide")
    stored(store, [entry("a", NOON + 3)])
    store.close()
    path = tmp_path / "wal" / "000000000001.wal"
    header, _ = read_frames(path)
    assert header == {
        "origin": bytes.fromhex((tmp_path / "origin").read_text()),
        "number": 1,
        "first": 1,
    }
    assert read_log(path) == [
        (1, 1, [("t", ROWS, [])]),
        (2, 1, [("wide", WIDE, [])]),
        (3, 1, [("t", [entry("a", NOON + 3)], [])]),
    ]
    store = start(tmp_path, quiet(small_tenant=1 << 20))
    store._flusher.flush(everything=False)
    store.close()
    (path,) = (tmp_path / "wal").iterdir()
    ((seq, kind, sections),) = read_log(path)
    assert (seq, kind) == (0, 3)
    expected = [("t", [*ROWS, entry("a", NOON + 3)], [[1, 3]]), ("wide", WIDE, [[2, 2]])]
    assert sorted(sections, key=lambda item: item[0]) == expected


@pytest.mark.parametrize("rows", [9, 900])
def test_lines_in_a_block_are_what_the_document_says(tmp_path: Path, rows: int) -> None:
    entries = [entry("ab"[n % 2], NOON + n, f"line {n} " + "x" * 30, level="info") for n in range(rows)]
    table = StreamTable()
    sections = [section_of(table, entries[: rows // 2]), section_of(table, entries[rows // 2 :])]
    first, second = (packed(section.batch, [b"in", b"between"]) for section in sections)
    log = open_log(tmp_path)
    log.append([Section("t", (), (Request(rows),), first, (), (second,))])
    log.close()
    path = tmp_path / "000000000001.wal"
    assert read_log(path) == [(1, 1, [("t", entries, [])])]
    assert first.lines.packed is not None
    assert first.lines.packed.block in path.read_bytes()


def test_a_gap_is_what_the_document_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = StreamTable()
    log = open_log(tmp_path, SyncMode.COMMIT)
    faults = Faults(monkeypatch, "fdatasync")
    faults.left = 1
    with pytest.raises(StorageUnavailable):
        log.append([section_of(table, [entry("a", 1)])])
    log.append([section_of(table, [entry("a", 2)])])
    log.close()
    header, records = read_frames(tmp_path / "000000000002.wal")
    assert header["first"] == 2
    assert [(seq, kind) for seq, kind, _ in records] == [(0, 2), (2, 1)]
    assert msgpack.unpackb(records[0][2]) == [1, 1]


def test_a_block_is_what_the_document_says(tmp_path: Path) -> None:
    rows = [*ROWS, entry("a", NOON + DAY // 4, "other hour")]
    store = start(tmp_path, quiet(row_group_rows=2))
    stored(store, rows)
    store.flush()
    store.close()
    (path,) = (tmp_path / "blocks" / "t" / "2024-10-04").iterdir()
    raw = path.read_bytes()
    with pq.ParquetFile(path) as file:
        keys = file.metadata.metadata
        groups = [file.read_row_group(group) for group in range(file.num_row_groups)]
    assert keys[b"weir.crc32c"] == b"%08x" % google_crc32c.value(keys[b"weir"] + keys[b"weir.data"])
    size, crc = keys[b"weir.data"].split(b":")
    assert b"%08x" % google_crc32c.value(raw[: int(size)]) == crc
    footer_length = struct.unpack("<I", raw[-8:-4])[0]
    assert int(size) == len(raw) - 8 - footer_length
    said = json.loads(keys[b"weir"])
    assert (said["version"], said["tenant"], said["day"], said["sources"]) == (1, "t", 20_000, [])
    assert said["streams"] == [{"app": "a"}, {"app": "b"}]
    assert said["stream_ids"] == [
        f"{xxhash.xxh64_intdigest(b'app%c%s%c' % (255, app, 255)):016x}" for app in (b"a", b"b")
    ]
    assert said["origins"] == [[(tmp_path / "origin").read_text().strip(), 1, 1]]
    assert said["columns"] == ["level", "trace"]
    found = []
    spans = [dict(zip(said["spans"], values, strict=True)) for values in zip(*said["spans"].values(), strict=True)]
    for span in spans:
        part = groups[span["group"]].slice(span["row"], span["rows"])
        labels = tuple(sorted(said["streams"][span["stream"]].items()))
        metadata = [part.column(f"meta.{key}").to_pylist() for key in said["columns"]]
        times = part.column("ts").cast("int64").to_pylist()
        lines = part.column("line").to_pylist()
        pairs = [
            tuple(
                (key, value.encode()) for key, value in zip(said["columns"], values, strict=True) if value is not None
            )
            for values in zip(*metadata, strict=True)
        ]
        assert (min(times), max(times)) == (span["min_ts"], span["max_ts"])
        assert len({ts // (DAY // 24) for ts in times}) == 1
        assert span["line_bytes"] == sum(map(len, lines))
        assert span["metadata_bytes"] == sum(len(key) + len(value) for row in pairs for key, value in row)
        found += list(zip([labels] * len(times), times, lines, pairs, strict=True))
    assert in_order(found) == in_order(rows)


def test_the_document_names_every_file_of_a_data_directory(tmp_path: Path) -> None:
    store = start(tmp_path)
    stored(store, ROWS)
    store.flush()
    names = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    store.close()
    text = (Path(__file__).parents[2] / "storage" / "FORMAT.md").read_text("utf-8")
    assert {name for name in names if f"`{name}" not in text} <= {
        "index.db-wal",
        "index.db-shm",
        "control.db-wal",
        "control.db-shm",
    }
