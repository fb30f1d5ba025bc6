"""Content-Encoding at the OTLP door: gzip, zstd and lz4 as Loki, deflate besides (LOKI-DIFF(8)).

OpenTelemetry's exporters write deflate as HTTP means it, within zlib's wrapper (RFC 9110, 8.4.1.2); others send it
bare.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import lz4.frame
import pyarrow as pa

from gateway.push.encodings import decoded_size, unwrap
from gateway.push.errors import MalformedPush, PushTooLarge

_END = "unexpected EOF"
_GROWTH = 8
"""How much bigger a body of the encodings that do not say is guessed to be."""
_PIECE = 1 << 20


def unwrapped(body: bytes, encoding: str, cap: int) -> bytes:
    """A body without its Content-Encoding.

    Args:
        body: as sent.
        encoding: the header, "" if missing.
        cap: most bytes that may come out.

    Raises:
        MalformedPush: the encoding is none of these, or the body is not in it.
        PushTooLarge: more than `cap` bytes come out.
    """
    if encoding == "":
        return body
    if encoding == "gzip":
        payload = unwrap(body, encoding, cap)
        if payload.fault is not None:
            raise MalformedPush(payload.fault)
        return payload.data
    if encoding == "deflate":
        return _inflated(body, cap)
    if encoding == "zstd":
        return _joined(_unzstd(body), cap)
    if encoding == "lz4":
        return _joined(_unlz4(body, cap), cap)
    raise MalformedPush(f"unsupported content encoding {encoding}: only gzip, lz4 and zstd are supported")


def unwrapped_size(body: bytes, encoding: str) -> int:
    """A guess, never below len(body), of the bytes that unwrapping will take."""
    if encoding in ("", "gzip"):
        return decoded_size(body, encoding, "application/json")
    return _GROWTH * len(body)


def _inflated(body: bytes, cap: int) -> bytes:
    # A bare body can look as if it began with zlib's header; then what follows does not make sense.
    cut_short = False
    if len(body) >= 6 and body[0] & 15 == zlib.DEFLATED and not int.from_bytes(body[:2], "big") % 31:
        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(body, cap + 1)
        except zlib.error:
            pass
        else:
            if inflater.eof or len(data) > cap:
                return _checked(data, cap)
            cut_short = True
    payload = unwrap(body, "deflate", cap)
    if payload.fault is not None:
        raise MalformedPush(_END if cut_short else payload.fault)
    return payload.data


def _unzstd(body: bytes) -> Iterator[bytes]:
    """Every frame of a body (RFC 8878), in pieces."""
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), "zstd") as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except OSError as error:
        # Arrow says "Truncated compressed stream" of a body that ends early, and zstd's words otherwise.
        raise MalformedPush(_END if "runcated" in str(error) else "zstd: corrupt input") from None


def _unlz4(body: bytes, cap: int) -> Iterator[bytes]:
    """Every frame of a body (LZ4 frame format 1.6), in pieces."""
    rest = body
    while rest:
        inflater = lz4.frame.LZ4FrameDecompressor()
        feed = rest
        while not inflater.eof:
            try:
                piece = inflater.decompress(feed, min(_PIECE, cap + 1))
            except (RuntimeError, ValueError):
                raise MalformedPush("lz4: corrupt input") from None
            if not piece and inflater.needs_input:
                raise MalformedPush(_END)
            feed = b""
            yield piece
        rest = inflater.unused_data or b""


def _joined(pieces: Iterator[bytes], cap: int) -> bytes:
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > cap:
            raise _too_large(size, cap)
        held.append(piece)
    return held[0] if len(held) == 1 else b"".join(held)


def _checked(data: bytes, cap: int) -> bytes:
    if len(data) > cap:
        raise _too_large(len(data), cap)
    return data


def _too_large(size: int, cap: int) -> PushTooLarge:
    return PushTooLarge(f"request body too large: decompressed message size too large than max ({size} vs {cap})")
