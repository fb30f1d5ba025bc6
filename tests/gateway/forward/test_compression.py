"""Payloads of several members or frames, whole, cut short and spoilt."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from gateway.forward.compression import Unpacker, is_compressed, unpacker

PARTS = [b"first " * 50, b"", b"second " * 5000, b"third"]
FORMS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}


def opened(payload: bytes) -> Unpacker:
    found = unpacker(payload)
    assert found is not None
    return found


def unpack(found: Unpacker, step: int) -> bytes:
    pieces = []
    while piece := found.more(step):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_every_member_is_read(form: str, step: int) -> None:
    found = opened(b"".join(map(FORMS[form], PARTS)))
    assert unpack(found, step) == b"".join(PARTS)
    assert not found.damaged


@pytest.mark.parametrize("form", FORMS)
def test_what_follows_that_is_no_member_is_left_out(form: str) -> None:
    found = opened(b"".join(map(FORMS[form], PARTS)) + b"garbage")
    assert unpack(found, 1 << 20) == b"".join(PARTS)
    assert found.damaged


@pytest.mark.parametrize("form", FORMS)
def test_of_a_payload_cut_short_what_was_whole_is_kept(form: str) -> None:
    whole = FORMS[form](PARTS[2])
    for cut in range(1, len(FORMS[form](PARTS[0]))):
        found = opened(whole + FORMS[form](PARTS[0])[:-cut])
        assert unpack(found, 1 << 20).startswith(PARTS[2])
        assert found.damaged


@pytest.mark.parametrize("form", FORMS)
def test_a_spoilt_member_ends_the_payload(form: str) -> None:
    spoilt = bytearray(FORMS[form](PARTS[2]))
    spoilt[len(spoilt) // 2] ^= 0xFF
    spoilt[-3] ^= 0xFF
    found = opened(FORMS[form](PARTS[0]) + bytes(spoilt) + FORMS[form](PARTS[3]))
    assert unpack(found, 100).startswith(PARTS[0])
    assert found.damaged


def test_plain_entries_are_no_compressed_payload() -> None:
    for plain in (b"\x92\x01\x80", b""):
        assert unpacker(plain) is None
        assert not is_compressed(plain)


@pytest.mark.parametrize("form", FORMS)
def test_a_payload_that_begins_as_a_compressed_one_is_one(form: str) -> None:
    assert is_compressed(memoryview(FORMS[form](b"")))


@pytest.mark.parametrize("form", FORMS)
def test_a_bomb_is_made_in_steps(form: str) -> None:
    found = opened(FORMS[form](bytes(64 << 20)))
    assert 0 < len(found.more(1 << 20)) <= (9 << 20)


@pytest.mark.parametrize("form", FORMS)
def test_a_payload_is_read_where_it_is(form: str) -> None:
    payload = FORMS[form](random.Random(1).randbytes(8 << 20))
    tracemalloc.start()
    try:
        found = opened(payload)
        while found.more(1 << 20):
            pass
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert not found.damaged


def test_a_zstd_window_of_gigabytes_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    frame = zstandard.ZstdCompressor(compression_params=parameters)
    stream = frame.compressobj()
    found = opened(stream.compress(bytes(100)) + stream.flush())
    assert unpack(found, 1 << 20) == b""
    assert found.damaged


def test_a_wrong_checksum_is_damage() -> None:
    payload = gzip.compress(PARTS[0])
    found = opened(payload[:-8] + zlib.crc32(b"other").to_bytes(4, "little") + payload[-4:])
    unpack(found, 10)
    assert found.damaged
