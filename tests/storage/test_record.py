from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import MAX_COLUMNS, Batch, Packed, Texts
from storage.errors import CorruptSegment
from storage.record import JOINED_BYTES, KEPT_BYTES, Encoder, Request, Section, decode, encode, with_streams
from storage.streams import StreamTable
from tests.storage.entries import Entry, entries_of, entry, entry_lists, packed, plain
from tests.storage.logs import section_of

requests = st.builds(
    Request,
    st.integers(0, 1 << 40),
    st.none() | st.binary(min_size=16, max_size=16),
    st.none() | st.binary(min_size=16, max_size=16),
)
sections = st.lists(
    st.tuples(st.text(max_size=5), entry_lists, st.booleans(), st.lists(requests, max_size=3).map(tuple)), max_size=3
)


@given(sections)
def test_a_body_gives_back_what_was_put_in(
    given_sections: list[tuple[str, list[Entry], bool, tuple[Request, ...]]],
) -> None:
    table = StreamTable()
    made = []
    for tenant, entries, one_a_row, pushes in given_sections:
        section = section_of(table, entries, tenant)
        names = tuple((number, table[number]) for number in range(len(table)))
        batch = plain(section.batch) if one_a_row else section.batch
        made.append(Section(tenant, names, pushes, batch, ((3, 9),)))
    found = decode(encode(made))
    assert len(found) == len(made)
    for before, after, (_, entries, _, _) in zip(made, found, given_sections, strict=True):
        assert (after.tenant, after.new_streams, after.requests, after.covers) == (
            before.tenant,
            before.new_streams,
            before.requests,
            before.covers,
        )
        assert entries_of(with_streams(after, table, np.arange(max(len(table), 1), dtype=np.int32))) == entries


def test_buffers_of_a_body_are_aligned_for_the_columns_that_view_them() -> None:
    table = StreamTable()
    body = encode([section_of(table, [entry("a", 1, b"odd"), entry("b", 2, b"length!", k="v")])])
    batch = decode(body)[0].batch
    for column in (batch.stream, batch.ts, batch.metadata["k"].codes):
        assert column.ctypes.data % 4 == 0
        assert (column.ctypes.data - np.frombuffer(body, np.uint8).ctypes.data) % 8 == 0


def test_a_string_too_long_for_its_length_is_refused() -> None:
    length = 1 << 32
    line = Texts(np.zeros(0, np.uint8), np.array([0, length], np.int64))
    batch = Batch((), np.zeros(1, np.int32), np.zeros(1, np.int64), line)
    with pytest.raises(ValueError, match="4 GiB"):
        encode([Section("t", (), (), batch)])


def test_any_cut_of_a_body_is_told() -> None:
    body = encode([section_of(StreamTable(), [entry("a", 1, b"some line", k="v")])])
    for end in range(len(body) - 8):  # the last 8 bytes may be padding
        with pytest.raises(CorruptSegment):
            decode(body[:end])


@given(st.lists(st.tuples(entry_lists, st.booleans()), min_size=1, max_size=4))
def test_batches_of_one_section_are_read_back_as_one(parts: list[tuple[list[Entry], bool]]) -> None:
    table = StreamTable()
    batches = [section_of(table, entries).batch for entries, _ in parts]
    first, *more = [plain(batch) if one_a_row else batch for batch, (_, one_a_row) in zip(batches, parts, strict=True)]
    (found,) = decode(encode([Section("t", (), (), first, (), tuple(more))]))
    numbers = np.arange(max(len(table), 1), dtype=np.int32)
    assert entries_of(with_streams(found, table, numbers)) == [row for entries, _ in parts for row in entries]


@pytest.mark.parametrize("sizes", [[10, JOINED_BYTES, 10, 2 * JOINED_BYTES, JOINED_BYTES], [KEPT_BYTES, JOINED_BYTES]])
def test_a_body_in_memory_that_held_another_is_the_same(sizes: list[int]) -> None:
    encoder = Encoder()
    for number, size in enumerate(sizes):
        section = section_of(StreamTable(), [entry("a", number, bytes([number + 1]) * size, k="odd"), entry("b", 1)])
        body = encoder.encode([section])
        assert body.front == encode([section])
        assert len(body) == len(body.front)


_parts = st.tuples(entry_lists, st.lists(st.binary(max_size=9), min_size=1, max_size=3), st.booleans())


@given(st.lists(_parts, min_size=1, max_size=4))
def test_lines_that_came_packed_are_read_back(parts: list[tuple[list[Entry], list[bytes], bool]]) -> None:
    table = StreamTable()
    batches = [
        packed(batch, around) if is_packed else batch
        for entries, around, is_packed in parts
        for batch in [section_of(table, entries).batch]
    ]
    first, *more = batches
    other = section_of(table, [entry("z", 1, b"behind it", k="v")], "u")
    made = [Section("t", (), (), first, (), tuple(more)), replace(other, batch=packed(other.batch))]
    body = Encoder().encode(made)
    found = decode(b"".join((body.front, *body.blocks)))
    numbers = np.arange(max(len(table), 1), dtype=np.int32)
    assert [entries_of(with_streams(section, table, numbers)) for section in found] == [
        [row for entries, _, _ in parts for row in entries],
        [entry("z", 1, b"behind it", k="v")],
    ]
    keys = {key for batch in batches for key in batch.metadata}
    joined = more and (len(keys) > MAX_COLUMNS or any(batch.rest is not None for batch in batches))
    whole = not joined and all(is_packed for _, _, is_packed in parts)  # rows that are joined are packed no more
    assert len(body.blocks) == (len(parts) if whole else 0) + 1
    assert all(batch.lines.packed is not None and batch.lines.packed.block in body.blocks for batch in batches if whole)


def test_any_cut_of_a_body_with_a_block_is_told() -> None:
    section = section_of(StreamTable(), [entry("a", n, f"some line {n}") for n in range(9)])
    body = encode([replace(section, batch=packed(section.batch, [b"gap"]))])
    assert len(decode(body)[0].batch) == 9
    for end in range(len(body)):
        with pytest.raises(CorruptSegment):
            decode(body[:end])


@pytest.mark.parametrize("fault", ["rows", "gaps", "block", "size"])
def test_a_block_that_does_not_hold_its_lines_is_told(fault: str) -> None:
    section = section_of(StreamTable(), [entry("a", n, f"some line {n}") for n in range(9)])
    lines = packed(section.batch, [b"gap"]).lines
    sound = lines.packed
    assert sound is not None
    wrong = {
        "rows": Packed(sound.block, sound.size, sound.gaps[1:]),
        "gaps": Packed(sound.block, sound.size, sound.gaps + np.uint32(1)),
        "block": Packed(b"\xff" * len(sound.block), sound.size, sound.gaps),
        "size": Packed(sound.block, sound.size - 1, sound.gaps),
    }[fault]
    batch = replace(section.batch, lines=Texts(lines.data, lines.offsets, wrong))
    body = encode([replace(section, batch=batch)])
    with pytest.raises(CorruptSegment):
        decode(body)
