from __future__ import annotations

import json

import google_crc32c
import numpy as np
import pytest

from storage.errors import CorruptBlock
from storage.footer import (
    CRC_KEY,
    DATA_KEY,
    KEY,
    Footer,
    OriginRange,
    Spans,
    decode_data_crc,
    decode_footer,
    unpacked,
)
from storage.footer import encode_footer as encode


def footer() -> Footer:
    column = np.array([3, 4])
    return Footer(
        tenant="t",
        day=-3,
        generation=9,
        streams=((("app", 'q"'),), (("app", "b"), ("env", "ü"))),
        stream_ids=(1, 2**64 - 1),
        spans=Spans(
            group=np.array([0, 1], np.int32),
            stream=np.array([1, 0], np.int32),
            row=column,
            rows=column,
            min_ts=-column,
            max_ts=np.array([2**63 - 1, 1]),
            line_bytes=column,
            metadata_bytes=column,
        ),
        origins=(OriginRange("00" * 16, 1, 7),),
        sources=("01J8XQZ5W0" + "0" * 16,),
        columns=("trace", ""),
    )


def test_a_footer_comes_back_as_it_was() -> None:
    before = footer()
    metadata = encode(before, 123, 0xABC)
    after = decode_footer(metadata, "name")
    for field in ("tenant", "day", "generation", "streams", "stream_ids", "origins", "sources", "columns", "rows"):
        assert getattr(after, field) == getattr(before, field)
    for name in Spans.__slots__:
        column = getattr(after.spans, name)
        assert column.dtype == getattr(before.spans, name).dtype
        assert column.tolist() == getattr(before.spans, name).tolist()
    assert decode_data_crc(metadata) == (123, 0xABC)


def test_a_long_footer_is_packed_and_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = encode(footer(), 123, 0xABC)
    monkeypatch.setattr("storage.footer.PACK_FROM", len(plain[KEY]) + 1)
    assert encode(footer(), 123, 0xABC) == plain
    monkeypatch.setattr("storage.footer.PACK_FROM", len(plain[KEY]))
    packed = encode(footer(), 123, 0xABC)
    assert json.loads(packed[KEY])["sources"] == list(footer().sources)  # other tools read it: docs/parquet.md
    assert unpacked(packed[KEY]) == plain[KEY]
    before, after = decode_footer(plain, "name"), decode_footer(packed, "name")
    for field in ("tenant", "day", "generation", "stream_ids", "origins", "sources", "columns", "rows", "deletes"):
        assert getattr(after, field) == getattr(before, field)
    assert (len(after.streams), list(after.streams), after.streams[1]) == (2, list(before.streams), before.streams[1])
    assert [getattr(after.spans, name).tolist() for name in Spans.__slots__] == [
        getattr(before.spans, name).tolist() for name in Spans.__slots__
    ]


@pytest.mark.parametrize("packed", ["", "AAAA", "?", "aGVsbG8="])
def test_a_packed_footer_that_cannot_be_unpacked_is_told(packed: str) -> None:
    body = json.dumps({"version": 2, "packed": packed}, separators=(",", ":")).encode()
    metadata = {KEY: body, DATA_KEY: b"1:00000000", CRC_KEY: b"%08x" % google_crc32c.value(body + b"1:00000000")}
    with pytest.raises(CorruptBlock, match="block some-name: the footer's key `weir` cannot be read"):
        decode_footer(metadata, "some-name")


@pytest.mark.parametrize("key", [KEY, CRC_KEY, DATA_KEY])
def test_any_flipped_byte_of_the_keys_is_told_with_the_name(key: bytes) -> None:
    metadata = encode(footer(), 123, 0xABC)
    for at in range(len(metadata[key])):
        raw = bytearray(metadata[key])
        raw[at] ^= 1
        with pytest.raises(CorruptBlock, match="block some-name"):
            decode_footer({**metadata, key: bytes(raw)}, "some-name")


@pytest.mark.parametrize("metadata", [None, {}, {b"other": b"x"}, {KEY: b"{}"}])
def test_a_file_of_someone_else_is_told(metadata: dict[bytes, bytes] | None) -> None:
    with pytest.raises(CorruptBlock):
        decode_footer(metadata, "name")
