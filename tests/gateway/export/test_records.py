"""Records as kernels write them, against Python's json and csv."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.export.records import CHUNK, Format, Layout
from gateway.query.kernels.records import record_sizes, write_records
from logql import EntryColumns, EntryLabels
from logql.entry_columns import columns_of_entries
from storage.batch import texts

TIMES = st.integers(-(2**63), 2**63 - 1)
LINES = st.one_of(
    st.binary(max_size=30), st.text(max_size=20).map(str.encode), st.just(b'a "b" \xe2\x80\xa8 \xff\r\n,')
)
SETS = (
    EntryLabels((("app", "a"),), ()),
    EntryLabels((("app", 'x,"y"\n'),), (("trace", "\u00e9"),), (("v", ""),)),
    EntryLabels((), ()),
)
rows = st.lists(st.tuples(TIMES, LINES, st.sampled_from(SETS)), max_size=12)


def columns(given_: list[tuple[int, bytes, EntryLabels]]) -> EntryColumns:
    return columns_of_entries(
        (ts for ts, _, _ in given_), (line for _, line, _ in given_), (own for _, _, own in given_)
    )


def shown(line: bytes) -> str:
    """Each byte that is not of valid UTF-8 as U+FFFD."""
    return "".join(
        "\ufffd" if "\udc80" <= char <= "\udcff" else char for char in line.decode("utf-8", "surrogateescape")
    )


def written(layout: Layout, entries: EntryColumns) -> bytes:
    return b"".join(piece for piece, _ in layout.records(entries))


@settings(max_examples=60)
@given(rows)
def test_ndjson_reads_back(given_: list[tuple[int, bytes, EntryLabels]]) -> None:
    found = [json.loads(line) for line in written(Layout(Format.NDJSON), columns(given_)).splitlines()]
    wanted = []
    for ts, line, own in given_:
        row = {"ts": str(ts), "labels": dict(own.stream), "line": shown(line)}
        row |= {"structuredMetadata": dict(own.metadata)} if own.metadata else {}
        wanted.append(row | ({"parsed": dict(own.parsed)} if own.parsed else {}))
    assert found == wanted


@settings(max_examples=60)
@given(rows)
def test_csv_reads_back(given_: list[tuple[int, bytes, EntryLabels]]) -> None:
    layout = Layout(Format.CSV, columns=("app", "trace"))
    text = (layout.head() + written(layout, columns(given_))).decode()
    found = list(csv.reader(io.StringIO(text, newline="")))
    labels = [dict(own.together) for _, _, own in given_]
    assert found == [
        ["ts", "app", "trace", "line"],
        *(
            [str(ts), own.get("app", ""), own.get("trace", ""), shown(line)]
            for (ts, line, _), own in zip(given_, labels, strict=True)
        ),
    ]


@settings(max_examples=60)
@given(rows, st.binary(max_size=5), st.binary(max_size=5), st.booleans())
def test_records_take_the_room_that_was_counted(
    given_: list[tuple[int, bytes, EntryLabels]], before: bytes, behind: bytes, csv_: bool
) -> None:
    entries = columns(given_)
    between = texts([b"x" * number for number, _ in enumerate(entries.label_sets)])
    sizes = np.empty(len(entries), np.int64)
    lines = entries.lines
    around = len(before) + len(behind)
    record_sizes(
        entries.ts, lines.data, lines.offsets, entries.line, entries.labels, between.offsets, around, csv_, sizes
    )
    ends = np.frombuffer(before, np.uint8), np.frombuffer(behind, np.uint8)
    for at, size in enumerate(sizes.tolist()):
        one = slice(at, at + 1)
        out = np.full(size + 8, 0x7E, np.uint8)
        write_records(
            entries.ts[one],
            lines.data,
            lines.offsets,
            entries.line[one],
            entries.labels[one],
            between.data,
            between.offsets,
            *ends,
            csv_,
            out,
        )
        assert out[size:].tobytes() == b"~" * 8
        assert out[:size].tobytes().endswith(behind)


def test_long_answers_come_in_pieces_of_whole_records() -> None:
    own = EntryLabels((("app", "a"),), ())
    entries = columns([(number, b"x" * 1000, own) for number in range(3000)])
    pieces = list(Layout(Format.NDJSON).records(entries))
    assert len(pieces) > 2
    assert all(len(piece) <= CHUNK and piece.endswith(b"}\n") for piece, _ in pieces)
    assert [upto for _, upto in pieces] == list(np.cumsum([piece.count(b"\n") for piece, _ in pieces]))
