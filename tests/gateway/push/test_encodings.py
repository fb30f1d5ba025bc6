"""Content types, encodings and size caps."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import snappy
from hypothesis import given
from hypothesis import strategies as st

from gateway.push.encodings import Payload, decoded_size, media_type, unsnap, unsnap_for_now, unwrap
from gateway.push.errors import MalformedPush, PushTooLarge

CAP = 1 << 20


def _deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


def _refusal(call: object, *args: object) -> str:
    assert callable(call)
    with pytest.raises(MalformedPush) as refused:
        call(*args)
    return str(refused.value)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        (" application/json ; charset=utf-8", "application/json"),
        ('text/plain; a="quoted \\" text"; b=2;', "text/plain"),
        ("json", "json"),
    ],
)
def test_media_types_are_read_as_go_reads_them(header: str, expected: str) -> None:
    assert media_type(header) == expected


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (None, "mime: no media type"),
        ("", "mime: no media type"),
        (";charset=utf-8", "mime: no media type"),
        ("application/json;;=x", "mime: invalid media parameter"),
        ("application/json; charset", "mime: invalid media parameter"),
        ("application/json; a=1; a=2", "mime: duplicate parameter name"),
        ("application/", "mime: expected token after slash"),
        ("application json", "mime: expected slash after first token"),
        ("application/json x", "mime: unexpected content after media subtype"),
    ],
)
def test_bad_media_types_are_refused_in_gos_words(header: str | None, text: str) -> None:
    assert _refusal(media_type, header) == text


@given(st.binary(max_size=5000))
def test_encodings_are_undone(data: bytes) -> None:
    assert unwrap(data, "", CAP) == Payload(data)
    assert unwrap(data, "snappy", CAP) == Payload(data)
    assert unwrap(gzip.compress(data, 1), "gzip", CAP) == Payload(data)
    assert unwrap(gzip.compress(data, 1) + gzip.compress(b"more"), "gzip", CAP) == Payload(data + b"more")
    assert unwrap(_deflate(data), "deflate", CAP) == Payload(data)
    assert unsnap(snappy.compress(data), CAP) == data


def test_gzip_headers_with_all_fields_are_read() -> None:
    extra = b"\x1f\x8b\x08\x1e" + b"\0" * 6 + b"\x02\0ab" + b"name\0" + b"comment\0"
    header = extra + (zlib.crc32(extra) & 0xFFFF).to_bytes(2, "little")
    body = gzip.compress(b"text")
    assert unwrap(header + body[10:], "gzip", CAP) == Payload(b"text")
    assert _refusal(unwrap, extra + b"??" + body[10:], "gzip", CAP) == "gzip: invalid header"


@pytest.mark.parametrize("encoding", ["GZIP", "br", "zstd", "identity"])
def test_other_encodings_are_refused(encoding: str) -> None:
    assert _refusal(unwrap, b"", encoding, CAP) == f'Content-Encoding "{encoding}" not supported'


def test_what_is_wrong_with_a_gzip_body_waits_for_its_reader() -> None:
    whole = gzip.compress(b"text" * 100)
    assert unwrap(whole[:-9], "gzip", CAP) == Payload(b"text" * 100, "unexpected EOF")
    assert unwrap(whole[:-4], "gzip", CAP) == Payload(b"text" * 100, "unexpected EOF")
    assert unwrap(whole[:-1] + b"\xff", "gzip", CAP) == Payload(b"text" * 100, "gzip: invalid checksum")
    assert unwrap(whole + b"trailing garbage", "gzip", CAP) == Payload(b"text" * 100, "gzip: invalid header")
    assert _refusal(unwrap, b"", "gzip", CAP) == "EOF"
    assert _refusal(unwrap, whole[:5], "gzip", CAP) == "unexpected EOF"


def test_a_corrupt_deflate_body_gives_what_comes_before() -> None:
    deflater = zlib.compressobj(wbits=-15)
    text = random.Random(1).randbytes(200_000)
    good = deflater.compress(text) + deflater.flush(zlib.Z_FULL_FLUSH)
    assert len(good) > 3 * 64 << 10
    bad_block = b"\xff"  # a last block of the type that does not exist
    payload = unwrap(good + bad_block * 9, "deflate", CAP)
    assert payload == Payload(text, f"flate: corrupt input before offset {len(good) + 1}")


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_inflating_stops_at_the_cap(encoding: str) -> None:
    bomb = bytes(200 << 20)
    body = gzip.compress(bomb, 1) if encoding == "gzip" else _deflate(bomb)
    del bomb
    tracemalloc.start()
    try:
        with pytest.raises(PushTooLarge) as refused:
            unwrap(body, encoding, CAP)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(refused.value) == (
        f"request body too large: decompressed message size too large than max ({CAP + 1} vs {CAP})"
    )
    assert peak < 8 * CAP


def test_a_snappy_header_is_not_believed() -> None:
    with pytest.raises(PushTooLarge) as refused:
        unsnap(b"\xff\xff\xff\xff\x0f", CAP)
    assert str(refused.value) == (
        f"request body too large: decompressed message size too large than max (4294967295 vs {CAP})"
    )
    for body in (b"", b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff", b"\x80", b"\0garbage", b"\x05\x10abc"):
        assert _refusal(unsnap, body, 1 << 40) == "snappy: corrupt input"


@given(st.binary(max_size=300))
def test_any_bytes_are_unpacked_or_refused(body: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        for prefix in (b"", b"\x1f\x8b\x08\0" + b"\0" * 6):
            with suppress(MalformedPush, PushTooLarge):
                assert len(unwrap(prefix + body, encoding, 1000).data) <= 1000
            assert decoded_size(prefix + body, encoding, "application/json") >= len(prefix + body)
    with suppress(MalformedPush, PushTooLarge):
        unsnap(body, 1000)


def _unsnapped(unpack: Callable[[bytes, int], Any], body: bytes, cap: int) -> Any:
    try:
        return bytes(unpack(body, cap))
    except (MalformedPush, PushTooLarge) as refused:
        return type(refused), str(refused)


@given(st.lists(st.binary(max_size=300) | st.binary(max_size=300).map(snappy.compress), max_size=4))
def test_memory_that_held_another_body_gives_the_same(bodies: list[bytes]) -> None:
    for body in [*bodies, *(body[:-1] for body in bodies)]:
        assert _unsnapped(unsnap_for_now, body, 250) == _unsnapped(unsnap, body, 250)


def test_a_large_body_does_not_stay_in_memory() -> None:
    large = snappy.compress(b"large" * (2 << 20))
    tracemalloc.start()
    try:
        assert len(unsnap_for_now(large, 1 << 30)) == 10 << 20
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
