"""What the kernels write is what the plain form of each rule writes, whatever the bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.query.encode_metrics import seconds, value_texts
from gateway.query.gojson import line_json
from gateway.query.kernels.entries import entry_sizes, write_entries
from gateway.query.kernels.points import most_bytes, write_points
from logql import plain
from storage.batch import texts

INT64 = st.integers(-(2**63), 2**63 - 1)
ODD = 'ab"\\<>&\u2028\u2029\u202a\b\f\n\r\t\x1f\x7f é日\U0001f600\ufffd'
LINES = st.binary(max_size=40) | st.text(ODD).map(str.encode)
PARTS = st.sampled_from([b"", b",", b'{"a":"b"}', b'{"stream":{},"values":['])
CUT_SHORT = b"\xe2\x80"
"""U+2028 but for its last byte, which the next line begins with."""


@given(st.lists(st.tuples(INT64, LINES, PARTS, PARTS | st.none()), max_size=8))
@example([(-(2**63), CUT_SHORT, b"", None), (2**63 - 1, b"\xa8", b",", b"{}")])
@example([(0, bytes([first, second, 0x80, 0x80]), b"", None) for first in range(0xC0, 256) for second in (0x7F, 0x80)])
@example([(0, bytes([first, second, 0x80, 0x80]), b"", None) for first in range(0xC0, 256) for second in (0x8F, 0x90)])
@example([(0, bytes([first, second, 0x80, 0x80]), b"", None) for first in range(0xC0, 256) for second in (0x9F, 0xA0)])
@example([(0, bytes([first, second, 0x80, 0x80]), b"", None) for first in range(0xC0, 256) for second in (0xBF, 0xC0)])
def test_entries_are_written_as_each_alone(entries: list[tuple[int, bytes, bytes, bytes | None]]) -> None:
    n = len(entries)
    ts = np.array([entry[0] for entry in entries], np.int64)
    lines = texts([entry[1] for entry in entries])
    leads, thirds = texts([entry[2] for entry in entries]), texts([entry[3] or b"" for entry in entries])
    third = np.array([-1 if entry[3] is None else place for place, entry in enumerate(entries)], np.int64)
    # From the last to the first: places in a column need not ascend.
    order = np.arange(n, dtype=np.int64)[::-1].copy()
    sizes = np.empty(n, np.int64)
    columns = (ts[order], lines.data, lines.offsets, order, order)
    entry_sizes(*columns, leads.offsets, third[order], thirds.offsets, sizes)
    expected = [
        b'%b["%d",%b%b]' % (lead, time, line_json(line), b"" if third is None else b"," + third)
        for time, line, lead, third in reversed(entries)
    ]
    assert sizes.tolist() == [len(each) for each in expected]
    out = np.empty(int(sizes.sum()), np.uint8)
    write_entries(*columns, leads.data, leads.offsets, third[order], thirds.data, thirds.offsets, out)
    assert out.tobytes() == b"".join(expected)


@given(st.lists(st.tuples(INT64, st.binary(max_size=5)), max_size=10))
@example([(ms, b"1") for ms in (0, 1, 10, 100, 999, 1000, 1001, 1010, 1100, -1, -1500, 1_700_000_000_000)])
def test_points_are_written_as_each_alone(points: list[tuple[int, bytes]]) -> None:
    values = texts([value for _, value in points])
    ts = np.array([ms for ms, _ in points], np.int64)
    out = np.empty(most_bytes(len(points), values.nbytes), np.uint8)
    size = write_points(ts, values.data, values.offsets[:-1], values.offsets[1:], out)
    assert out[:size].tobytes() == b",".join(b'[%b,"%b"]' % (seconds(ms).encode(), value) for ms, value in points)


@given(st.lists(st.floats() | st.integers(-(2**60), 2**60).map(float) | st.floats(-10, 10).map(lambda x: round(x, 3))))
@example([0.0, -0.0, 1e-3, 9.99e-4, 1e15, 999999999999999.9, 1e-7, float("nan"), float("inf"), -float("inf"), 5e-324])
@example([1.0, 2.0, -3.0])
@example([])
def test_values_are_written_as_each_alone(values: list[float]) -> None:
    data, starts, stops = value_texts(np.array(values, np.float64))
    raw = data.tobytes()
    written = [raw[start:stop].decode() for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    assert written == [plain(value) for value in values]
