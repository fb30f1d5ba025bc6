"""Structured metadata: names that are label names, values that are UTF-8."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.push.errors import PushFailed
from gateway.push.kernels.codes import column_facts
from gateway.push.metadata import clean_values, drop_empty_values, label_name, metadata_sizes, put_column, sanitise
from storage.batch import MAX_COLUMNS, Column, texts
from storage.kernels.pairs import add_sizes
from tests.gateway.push.pushes import entries_of, one_stream

WIDE = st.lists(
    st.dictionaries(st.integers(0, MAX_COLUMNS * 2), st.binary(max_size=3), max_size=MAX_COLUMNS * 2),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("trace_id", "trace_id"),
        ("b.c", "b_c"),
        ("d-e", "d_e"),
        ("a__b", "a_b"),
        ("a..b", "a_b"),
        ("a.", "a_"),
        ("_a", "_a"),
        ("__a", "_a"),
        ("__a__", "__a__"),
        ("__a..b__", "__a_b__"),
        ("9a", "key_9a"),
        ("é", None),
        ("aé字", "a_"),
        ("_", None),
        ("__", None),
        ("..", None),
        ("x" * 300 + ".y", "x" * 300 + "_y"),
    ],
)
def test_names_become_label_names(name: str, made: str | None) -> None:
    if made is None:
        with pytest.raises(PushFailed, match=r"^normalization for label name \".*\" resulted in invalid name \"_+\"$"):
            label_name(name)
    else:
        assert label_name(name) == made


def test_an_empty_name_is_refused_with_lokis_text() -> None:
    with pytest.raises(PushFailed, match=r"^label name is empty$"):
        label_name("")


def test_a_name_is_refused_only_if_an_entry_has_it() -> None:
    batch = one_stream(["1", "x"], ["2", "y", {"": "z"}])
    with pytest.raises(PushFailed):
        sanitise(batch)


def test_of_names_that_become_one_the_later_value_stays() -> None:
    batch = one_stream(["1", "x", {"a.b": "1", "a-b": "2"}], ["2", "y", {"a.b": "3"}], ["3", "z", {"c": "4"}])
    assert [metadata for *_, metadata in entries_of(sanitise(batch)[0])] == [{"a_b": b"2"}, {"a_b": b"3"}, {"c": b"4"}]


def test_more_names_than_columns_are_sanitised_alike() -> None:
    wide = {f"k.{n:03}": str(n) for n in range(MAX_COLUMNS + 40)}
    batch = one_stream(["1", "x", wide], ["2", "y", {"k.000": "u", "k-000": "v", "k.103": "w\ufffd"}])
    first, second = entries_of(sanitise(batch)[0])
    assert first[3] == {name.replace(".", "_"): value.encode() for name, value in wide.items()}
    assert second[3] == {"k_000": b"v", "k_103": b"w "}


@given(WIDE)
def test_names_and_values_of_each_entry_are_sanitised(entries: list[dict[int, bytes]]) -> None:
    # A third of the names stay as they are; no two become one.
    before = [{f"k{'._x'[n % 3]}{n}": value for n, value in entry.items()} for entry in entries]
    batch, changed = sanitise(one_stream(*((str(n + 1), "x", entry) for n, entry in enumerate(before))))
    assert [metadata for *_, metadata in entries_of(batch)] == [
        {label_name(name): cleaned(value) for name, value in entry.items()} for entry in before
    ]
    pairs = [pair for entry in before for pair in entry.items()]
    assert changed == sum((label_name(name) != name) + (cleaned(value) != value) for name, value in pairs)


def cleaned(value: bytes) -> bytes:
    text = value.decode("utf-8", "surrogateescape")
    return "".join(" " if "\udc80" <= char <= "\udcff" or char == "\ufffd" else char for char in text).encode()


def test_of_several_names_that_cannot_become_label_names_the_first_is_told() -> None:
    wide = {f"k{n:03}": "v" for n in range(MAX_COLUMNS + 1)}
    with pytest.raises(PushFailed, match=r"\"\.\.\""):
        sanitise(one_stream(["1", "x", {"..": "1", **wide, "--": "2"}], ["2", "x", {"..": "1"}]))


@given(WIDE, st.lists(st.booleans(), min_size=6, max_size=6), st.integers(0, MAX_COLUMNS * 2))
def test_a_column_is_put_in_the_place_of_the_rarest(
    entries: list[dict[int, bytes]], present: list[bool], key: int
) -> None:
    before = [{f"k{n}": value for n, value in entry.items()} for entry in entries]
    batch = one_stream(*((str(n + 1), "x", entry) for n, entry in enumerate(before)))
    codes = np.array([0 if here else -1 for here, _ in zip(present, entries, strict=False)], np.int32)
    made = put_column(batch, f"k{key}", Column(codes, texts([b"new"])))
    without = [{name: value for name, value in entry.items() if name != f"k{key}"} for entry in before]
    assert [metadata for *_, metadata in entries_of(made)] == [
        {**entry, f"k{key}": b"new"} if here else entry for entry, here in zip(without, present, strict=False)
    ]
    assert len(made.metadata) <= MAX_COLUMNS


@given(st.lists(st.integers(-1, 3), max_size=20))
def test_a_columns_sizes_are_added(codes: list[int]) -> None:
    values = [b"", b"a", b"bcd", b"ef"]
    sizes, counts = np.full(len(codes), 5, np.int64), np.full(len(codes), 1, np.int64)
    add_sizes(np.array(codes, np.int32), texts(values).offsets, 10, sizes, counts)
    assert sizes.tolist() == [5 if code < 0 else 15 + len(values[code]) for code in codes]
    assert counts.tolist() == [1 if code < 0 else 2 for code in codes]


def test_bytes_that_are_not_utf8_become_one_space_each() -> None:
    values = texts([b"ok", b"\xff\xfe", b"a\xe2\x82b", "é\ufffd字".encode(), b"\xed\xa0\x80", b""])
    assert clean_values(values).tolist() == [b"ok", b"  ", b"a  b", "é 字".encode(), b"   ", b""]


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_cleaned_values_are_utf8_and_good_ones_are_untouched(values: list[bytes]) -> None:
    cleaned = clean_values(texts(values)).tolist()
    for before, after in zip(values, cleaned, strict=True):
        assert "\ufffd" not in after.decode()
        try:
            good = "\ufffd" not in before.decode()
        except UnicodeDecodeError:
            good = False
        assert (before == after) == good


def test_two_halves_of_a_character_in_neighbouring_values_are_both_bad() -> None:
    assert clean_values(texts([b"\xc3", b"\xa9"])).tolist() == [b" ", b" "]


def test_sizes_and_counts_take_columns_and_the_rest_alike() -> None:
    narrow = one_stream(["1", "x", {"ab": "cde", "f": ""}], ["2", "y"], ["3", "z", {"é": "é"}])
    sizes, counts = metadata_sizes(narrow)
    assert (sizes.tolist(), counts.tolist()) == ([6, 0, 4], [2, 0, 1])
    wide = one_stream(["1", "x", {f"k{n:03}": "12" for n in range(100)}], ["2", "y", {"k000": "", "k099": "1"}])
    sizes, counts = metadata_sizes(wide)
    assert (sizes.tolist(), counts.tolist()) == ([600, 9], [100, 2])


def test_empty_values_are_dropped() -> None:
    wide = {f"k{n:03}": "" if n % 2 else "v" for n in range(100)}
    batch = drop_empty_values(one_stream(["1", "x", {"a": "", "b": "1"}], ["2", "y", {"b": ""}], ["3", "z", wide]))
    assert [metadata for *_, metadata in entries_of(batch)] == [
        {"b": b"1"},
        {},
        {name: b"v" for name, value in wide.items() if value},
    ]
    assert "a" not in drop_empty_values(one_stream(["1", "x", {"a": ""}])).metadata


@given(
    st.lists(st.integers(-1, 3), max_size=6),
    st.lists(st.sampled_from([b"", b"a", b"ab\x7f", b"\x80", b"\xc3\xa9"]), max_size=5),
    st.integers(0, 2),
)
def test_the_facts_of_a_column(codes: list[int], values: list[bytes], skipped: int) -> None:
    made = texts(values)
    kept = values[skipped:]
    if len(values) >= skipped:
        made = made.slice(skipped, len(values))
        wanted = (any(code >= 0 for code in codes), b"" in kept, b"".join(kept).isascii())
        assert column_facts(np.array(codes, np.int32), made.data, made.offsets) == wanted
