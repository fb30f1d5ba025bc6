"""The payload of PackedForward without its compression: gzip and zstd, told by their magic bytes.

Fluentd writes one member (gzip) or frame (zstd) each time it appends to a buffer, so a payload has several. What a
payload unpacks to is made in steps, so that whoever unpacks can count the bytes before they are there.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol

import zstandard

from gateway.forward.wire import Buffer

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""How the two begin; no entry does, as an entry is an array."""

_GZIP_WINDOW = 31
_ZSTD_WINDOW = 8 << 20
"""What RFC 8878 asks every reader to provide; a header may ask for gigabytes."""

_GZIP_STEP = 64 << 10
"""Bytes given to zlib at a time."""

_ZSTD_STEP = 256
"""Bytes given to zstd at a time: it takes no bound for what it makes of them, which is 128 KiB for 4 bytes at worst."""


class Unpacker(Protocol):
    """A payload being unpacked.

    Attributes:
        damaged: it broke off, or something other than a further member followed; what was whole has been given.
    """

    damaged: bool

    def more(self, most: int) -> bytes:
        """The next bytes, about `most` at most (zstd: 8 MiB more at worst); none when there are no more."""


def is_compressed(payload: Buffer) -> bool:
    """Whether a payload is compressed, whatever its options say."""
    return bytes(payload[:4]).startswith((GZIP, ZSTD))


def unpacker(payload: Buffer) -> Unpacker | None:
    """What unpacks a payload, None for one that is not compressed. The payload is read in place, never copied."""
    begin = bytes(payload[:4])
    if begin.startswith(GZIP):
        return _Gzip(memoryview(payload))
    if begin.startswith(ZSTD):
        return _Zstd(memoryview(payload))
    return None


class _Gzip:
    def __init__(self, payload: memoryview) -> None:
        self.damaged = False
        self._payload, self._at = payload, 0
        self._rest: Buffer = b""
        self._member: Any = zlib.decompressobj(_GZIP_WINDOW)

    def more(self, most: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while self._member is not None and size < most:
            if not self._rest:
                # A little at a time: zlib gives back, as a copy, all that it has not used.
                self._rest = self._payload[self._at : self._at + _GZIP_STEP]
                self._at += len(self._rest)
            given = len(self._rest)
            try:
                got: bytes = self._member.decompress(self._rest, most - size)
            except zlib.error:
                self._broken()
                break
            if self._member.eof:
                self._next(self._at - len(self._member.unused_data))
            else:
                self._rest = self._member.unconsumed_tail
                if not got and not given:
                    self._broken()
            pieces.append(got)
            size += len(got)
        return b"".join(pieces)

    def _next(self, at: int) -> None:
        self._at, self._rest, self._member = at, b"", None
        if self._payload[at : at + len(GZIP)] == GZIP:
            self._member = zlib.decompressobj(_GZIP_WINDOW)
        elif at < len(self._payload):
            self._broken()

    def _broken(self) -> None:
        self.damaged, self._rest, self._member = True, b"", None


class _Zstd:
    def __init__(self, payload: memoryview) -> None:
        self.damaged = False
        self._payload, self._at = payload, 0
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame: Any = self._decompressor.decompressobj()

    def more(self, most: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while self._frame is not None and size < most:
            if self._at >= len(self._payload):
                self._broken()
                break
            end = min(self._at + _ZSTD_STEP, len(self._payload))
            try:
                got = self._frame.decompress(self._payload[self._at : end])
            except zstandard.ZstdError:
                self._broken()
                break
            self._at = end
            if self._frame.eof:
                self._next(end - len(self._frame.unused_data))
            pieces.append(got)
            size += len(got)
        return b"".join(pieces)

    def _next(self, at: int) -> None:
        self._at, self._frame = at, None
        if self._payload[at : at + len(ZSTD)] == ZSTD:
            self._frame = self._decompressor.decompressobj()
        elif at < len(self._payload):
            self._broken()

    def _broken(self) -> None:
        self.damaged, self._frame = True, None
