"""What is posted is what was stored: any batch comes out of the push door's decoder as it went in."""

from __future__ import annotations

import gzip
import json
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.limits import Limits
from gateway.push.decode import decode_push
from gateway.push.proto_exact import decode_exact
from gateway.relay.encode import encode, json_of, protobuf_of
from storage.batch import Batch, Labels
from storage.build import BatchBuilder
from storage.rows import metadata_pairs

COMPRESSIONS: tuple[Literal["gzip", "snappy", "none"], ...] = ("gzip", "snappy", "none")
STREAMS: tuple[Labels, ...] = (
    (("app", "api"),),
    (("app", 'q"uote\n'), ("dc", "é\u2028<&>")),
    (("app", "web"), ("job", "7")),
)

Row = tuple[int, int, bytes, tuple[tuple[str, bytes], ...]]

_values = st.one_of(st.binary(min_size=1, max_size=6), st.sampled_from([b"info", "é".encode(), b'"\\\n\x00']))
_rows = st.lists(
    st.tuples(
        st.integers(0, len(STREAMS) - 1),
        st.one_of(st.integers(0, (1 << 63) - 1), st.integers(-(10**18), 10**10), st.sampled_from([0, 10**9])),
        st.one_of(st.binary(max_size=200), st.text(max_size=20).map(str.encode)),
        st.dictionaries(st.sampled_from(["level", "trace_id", "k-2"]), _values).map(lambda pairs: tuple(pairs.items())),
    ),
    min_size=1,
    max_size=30,
)


def built(rows: list[Row]) -> Batch:
    """As a relay gives it: only streams that have rows, by their first one."""
    builder = BatchBuilder()
    numbers = {number: builder.add_stream(STREAMS[number]) for number in dict.fromkeys(row[0] for row in rows)}
    for number, ts, line, metadata in rows:
        builder.add(numbers[number], ts, line, metadata)
    return builder.build()


def told(batch: Batch) -> dict[Labels, list[tuple[int, bytes, dict[str, bytes]]]]:
    """Entries of each stream, in order."""
    own: list[dict[str, bytes]] = [{} for _ in range(len(batch))]
    row, key, names, values = metadata_pairs(batch)
    for place, number, value in zip(row.tolist(), key.tolist(), values.tolist(), strict=True):
        own[place][names[number]] = value
    found: dict[Labels, list[tuple[int, bytes, dict[str, bytes]]]] = {}
    entries = zip(batch.stream.tolist(), batch.ts.tolist(), batch.lines.tolist(), own, strict=True)
    for stream, ts, line, metadata in entries:
        found.setdefault(batch.streams[stream], []).append((ts, line, metadata))
    return found


@settings(max_examples=150)
@given(_rows)
def test_a_batch_comes_out_as_it_went_in_whatever_its_compression(rows: list[Row]) -> None:
    batch = built(rows)
    for compression in COMPRESSIONS:
        body = encode(batch, compression)
        found = decode_push(
            body.content, body.headers["Content-Type"], body.headers.get("Content-Encoding", ""), False, Limits()
        )
        assert told(found) == told(batch), compression


@settings(max_examples=50)
@given(_rows)
def test_the_protobuf_is_what_the_exact_reader_reads(rows: list[Row]) -> None:
    batch = built(rows)
    assert told(decode_exact(protobuf_of(batch))) == told(batch)


def test_json_is_what_any_loki_reads() -> None:
    batch = built([(2, 5, b"one <b>", (("level", b"info"),)), (0, 7, b'"two"', ()), (2, 6, b"", ())])
    assert json.loads(json_of(batch)) == {
        "streams": [
            {
                "stream": {"app": "web", "job": "7"},
                "values": [["5", "one <b>", {"level": "info"}], ["6", ""]],
            },
            {"stream": {"app": "api"}, "values": [["7", '"two"']]},
        ]
    }
    packed = encode(batch, "gzip")
    assert packed.headers == {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert gzip.decompress(packed.content) == encode(batch, "none").content


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_bytes_that_are_no_text_go_as_protobuf(compression: Literal["gzip", "snappy", "none"]) -> None:
    cut = "é".encode()
    lines: tuple[bytes, ...] = (b"\xff\xfe", cut[:1], cut[1:])
    batch = built([(0, at, line, ()) for at, line in enumerate(lines)])
    assert encode(batch, compression).headers == {"Content-Type": "application/x-protobuf"}
    # Halves of one character are whole again where they stand side by side, and still no text each.
    halves = built([(0, at, line, ()) for at, line in enumerate(lines[1:])])
    assert encode(halves, compression).headers == {"Content-Type": "application/x-protobuf"}
