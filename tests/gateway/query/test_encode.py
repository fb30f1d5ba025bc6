"""A log query's answer: what the columns give is what its entries say, grouped as `logql` groups them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.query import encode
from gateway.query.encode import CATEGORIZE, encoding_flags, streams_answer
from gateway.query.gojson import label_json, labels_json, line_json
from gateway.query.stats import stats_json
from logql import Entry, LogResult, Stats, group_by_labels, group_by_stream
from logql.result import entry_of
from logql.rows import rows_of
from storage.batch import Batch, Labels
from storage.build import BatchBuilder
from storage.rows import take_rows

STREAMS: list[Labels] = [
    (),
    (("app", "a"),),
    (("app", "b"), ("env", '<"x">')),
    (("app", "\udcff"), ("m", "é\n")),
]
NAMES = st.sampled_from(["m", "app", "n", "app_extracted", "__error__", "__error_details__", 'q"'])
METADATA = st.dictionaries(NAMES, st.sampled_from([b"1", b"2", b"\xff", b"<&>"]), max_size=3)
ROWS = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.integers(0, 4), st.sampled_from([b"", b"one", b'"<\xff']), METADATA),
    max_size=12,
)
LABELS = st.sampled_from([(), (("x", "1"),), (("x", "2"), ("y", ""))])
ENTRIES = st.lists(st.builds(Entry, st.integers(0, 4), st.binary(max_size=3), st.sampled_from(STREAMS), LABELS))
FLAGS = st.sampled_from([[], [CATEGORIZE], ["other", CATEGORIZE], ["other"]])


def plain_answer(entries: tuple[Entry, ...], flags: list[str]) -> bytes:
    """The answer, entry by entry."""
    categorize = CATEGORIZE in flags

    def value(entry: Entry) -> bytes:
        parts = [b'"%d"' % entry.ts, line_json(entry.line)]
        if categorize:
            kinds = ((b"structuredMetadata", entry.metadata), (b"parsed", entry.parsed))
            parts.append(b"{" + b",".join(b'"%b":%b' % (kind, labels_json(own)) for kind, own in kinds if own) + b"}")
        return b"[" + b",".join(parts) + b"]"

    streams = [
        b'{"stream":%b,"values":[%b]}' % (labels_json(group.labels), b",".join(map(value, group.entries)))
        for group in (group_by_stream if categorize else group_by_labels)(entries)
    ]
    head = b'"encodingFlags":[%b],' % b",".join(map(label_json, flags)) if flags else b""
    return (
        b'{"status":"success","data":{"resultType":"streams",'
        + head
        + b'"result":[%b],"stats":%b}}\n' % (b",".join(streams), stats_json(Stats(), 0.5))
    )


def batch_of(rows: list[tuple[Labels, int, bytes, dict[str, bytes]]]) -> Batch:
    builder = BatchBuilder()
    numbers: dict[Labels, int] = {}
    for stream, ts, line, metadata in rows:
        if stream not in numbers:
            numbers[stream] = builder.add_stream(stream)
        builder.add(numbers[stream], ts, line, metadata.items())
    return builder.build()


@given(ROWS, ROWS, FLAGS, st.randoms(use_true_random=False), st.integers(1, 400))
def test_rows_of_batches_are_written_as_their_entries(
    one: list[tuple[Labels, int, bytes, dict[str, bytes]]],
    other: list[tuple[Labels, int, bytes, dict[str, bytes]]],
    flags: list[str],
    random: np.random.Generator,
    piece: int,
) -> None:
    batches = {3: batch_of(one), 7: batch_of(other)}
    # Two that share a stream table, as those of one tenant do.
    batches[8] = take_rows(batches[7], np.arange(len(batches[7]))[::2])
    places = [(number, row) for number, batch in batches.items() for row in range(len(batch))]
    random.shuffle(places)
    places = sorted(places[: len(places) * 3 // 4], key=lambda place: batches[place[0]].ts[place[1]])
    made = {number: [entry_of(row) for row, _ in rows_of(batch)] for number, batch in batches.items()}
    expected = tuple(made[number][row] for number, row in places)
    at = np.array(places, np.int64).reshape(-1, 2)
    result = LogResult.of_rows(batches, at[:, 0].copy(), at[:, 1].copy(), Stats())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "PIECE", piece)
        assert b"".join(streams_answer(result, flags, 0.5)) == plain_answer(expected, flags)
    assert result.entries == expected


@given(ENTRIES, FLAGS)
def test_entries_are_written_as_they_are(entries: list[Entry], flags: list[str]) -> None:
    entries = sorted(entries, key=lambda entry: entry.ts)
    assert b"".join(streams_answer(LogResult(entries, Stats()), flags, 0.5)) == plain_answer(tuple(entries), flags)


def test_metadata_of_many_keys_is_written_too() -> None:
    rows = [(STREAMS[1], ts, b"line", {f"key_{(ts + i) % 90}": b"%d" % i for i in range(3)}) for ts in range(90)]
    batch = batch_of(rows)
    assert batch.rest is not None
    result = LogResult.of_rows([batch], np.zeros(90, np.int64), np.arange(90), Stats())
    assert result.entries == tuple(entry_of(row) for row, _ in rows_of(batch))


def test_a_long_answer_comes_in_pieces_of_about_equal_size() -> None:
    batch = batch_of([(STREAMS[1], ts, b"x" * 1000, {}) for ts in range(2000)])
    result = LogResult.of_rows([batch], np.zeros(2000, np.int64), np.arange(2000), Stats())
    pieces = list(streams_answer(result, [], 0.0))
    assert max(map(len, pieces)) <= encode.PIECE
    assert len(pieces) < 14
    assert len(json.loads(b"".join(pieces))["data"]["result"][0]["values"]) == 2000


def test_flags_are_taken_once_each() -> None:
    assert encoding_flags(" a, categorize-labels,,a") == ["a", CATEGORIZE]
