"""detected_level of whole batches: the scalar rule for every row, wherever the level comes from."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.push.detected_level import level_column
from gateway.push.kernels.codes import close_gaps
from gateway.push.levels import DETECTED_LEVEL, detect_level
from gateway.push.metadata import put_column
from storage.batch import MAX_COLUMNS, Batch
from tests.gateway.push.pushes import batch_of, entries_of, one_stream

LEVELS = st.sampled_from(["info", "WRN", "err", "notice", "Fatal"])
METADATA = st.dictionaries(
    st.sampled_from(["level", "severity", "detected_level", "lvl", "severity_number", "trace_id"]),
    st.one_of(LEVELS, st.sampled_from(["", "9", "17", "99"])),
    max_size=3,
)
STREAM = st.fixed_dictionaries(
    {
        "stream": st.dictionaries(st.sampled_from(["app", "level", "Severity"]), LEVELS, max_size=2),
        "values": st.lists(
            st.tuples(st.just("1"), st.sampled_from(["", "x error", "level=dbg", '{"lvl":"trc"}']), METADATA),
            max_size=4,
        ),
    },
)


def detect_levels(batch: Batch, fields: Sequence[str] = ()) -> Batch:
    column = level_column(batch, fields)
    return batch if column is None else put_column(batch, DETECTED_LEVEL, column)


@settings(max_examples=200, deadline=None)
@given(st.lists(STREAM, max_size=4), st.sampled_from([(), ("severity", "level"), ("nothing",)]), st.booleans())
def test_each_row_gets_what_the_scalar_rule_gives(
    streams: list[dict[str, object]], fields: tuple[str, ...], wide: bool
) -> None:
    if wide:
        other = {f"k{n:03}": "v" for n in range(MAX_COLUMNS)}
        streams = [*streams, {"stream": {"app": "wide"}, "values": [("1", "info", other)] * 3}]
    batch = batch_of(streams)
    found = [metadata.get("detected_level") for *_, metadata in entries_of(detect_levels(batch, fields))]
    args = (fields,) if fields else ()
    expected = [detect_level(labels, metadata, line, *args) for labels, _, line, metadata in entries_of(batch)]
    # An empty detected_level that was sent stays the empty string it was, which the scalar rule returns as it is.
    assert [level or None for level in found] == [level or None for level in expected]


def test_other_metadata_stays() -> None:
    batch = one_stream(["1", "level=warn", {"trace_id": "1"}], ["2", "x", {"user": "2"}])
    assert [metadata for *_, metadata in entries_of(detect_levels(batch))] == [
        {"trace_id": b"1", "detected_level": b"warn"},
        {"user": b"2", "detected_level": b"unknown"},
    ]


def test_a_full_batch_keeps_to_its_number_of_columns() -> None:
    keys = {f"k{n:03}": "v" for n in range(MAX_COLUMNS)}
    batch = detect_levels(one_stream(["1", "info", keys], ["2", "warn", {"k000": "v"}]))
    assert len(batch.metadata) == MAX_COLUMNS
    assert "detected_level" in batch.metadata
    first, second = entries_of(batch)
    assert first[3] == {**dict.fromkeys(keys, b"v"), "detected_level": b"info"}
    assert second[3] == {"k000": b"v", "detected_level": b"warn"}


def test_the_dictionary_holds_only_levels_that_occur() -> None:
    batch = detect_levels(one_stream(["1", "info"], ["2", "warn"], ["3", "info"]))
    assert batch.metadata["detected_level"].values.tolist() == [b"info", b"warn"]


def test_where_no_entry_gets_a_level_there_is_no_column() -> None:
    assert level_column(batch_of([])) is None
    assert level_column(one_stream(["1", "error", {"level": ""}])) is None


@given(st.lists(st.integers(-1, 9), max_size=30))
def test_codes_without_gaps(before: list[int]) -> None:
    codes, occurring = np.array(before, np.int32), np.empty(10, np.int32)
    count = close_gaps(codes, occurring)
    assert occurring[:count].tolist() == sorted({code for code in before if code >= 0})
    assert [int(occurring[code]) if code >= 0 else -1 for code in codes.tolist()] == before
