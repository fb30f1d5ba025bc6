"""What an HTTP body is wrapped in: Content-Type, Content-Encoding, size caps. Bytes in, bytes out, nothing parsed.

No size that a header claims is ever allocated: inflating stops at the cap, and a snappy header is believed only as far
as the body's own length allows.
"""

from __future__ import annotations

import re
import threading
import zlib
from dataclasses import dataclass
from typing import Any

import cramjam
import numpy as np
import snappy

from gateway.push.errors import MalformedPush, PushTooLarge
from gateway.push.threads import DECODING_THREADS
from storage.batch import U8

_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_MEDIA_TYPE = re.compile(rf"({_WORD})(?:(/)({_WORD})?(.*)|(.+))?", re.DOTALL)
_PARAMETER = re.compile(rf'\s*;\s*({_WORD})\s*=\s*({_WORD}|"(?:[^"\\\r\n]|\\[^\r\n])*")')

_USUAL = frozenset(("application/json", "application/x-protobuf"))
"""Headers as clients write them, which there is nothing to be done about."""

_SNAPPY_RATIO = 22
"""No snappy body grows more: its best element makes 64 bytes of 3."""

_SCRATCH_BYTES = 8 << 20
"""Bytes of unpacked memory that a thread keeps for the next body: a few times what 5,000 lines take."""

_SCRATCH_THREADS = DECODING_THREADS + 1
"""Threads that keep such memory: so many decode at once, the event loop among them, but any of many may be next."""

_DEFLATE_RATIO = 1032
"""No deflate body grows more (zlib's technical notes)."""

_STEP = 64 << 10
"""Bytes fed to zlib at a time while looking for where a corrupt body breaks."""

_GZIP_CHECKSUM, _GZIP_EXTRA, _GZIP_NAME, _GZIP_COMMENT = 2, 4, 8, 16
_END = "unexpected EOF"


@dataclass(frozen=True, slots=True)
class Payload:
    """A body without its Content-Encoding.

    Attributes:
        data: what could be read.
        fault: what a reader is told when it asks for more than `data`; None is the plain end. A reader that needs no
            more never learns of it: Loki's JSON decoder takes a body whose gzip checksum is wrong.
    """

    data: bytes
    fault: str | None = None


def media_type(header: str | None) -> str:
    """The media type of a Content-Type header, lower case, as Go's mime.ParseMediaType.

    Raises:
        MalformedPush: there is none, or a parameter is malformed.
    """
    if header in _USUAL:
        return header
    base, separator, rest = (header or "").partition(";")
    found = base.strip().lower()
    match = _MEDIA_TYPE.fullmatch(found)
    if match is None:
        raise MalformedPush("mime: no media type")
    _, slash, subtype, after, other = match.groups()
    if other:
        raise MalformedPush("mime: expected slash after first token")
    if slash and not subtype:
        raise MalformedPush("mime: expected token after slash")
    if after:
        raise MalformedPush("mime: unexpected content after media subtype")
    _check_parameters(separator + rest)
    return found


def _check_parameters(text: str) -> None:
    seen: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            if text[at:].strip() == ";":
                return
            raise MalformedPush("mime: invalid media parameter")
        name, value = parameter[1].lower(), parameter[2]
        if seen.setdefault(name, value) != value:
            raise MalformedPush("mime: duplicate parameter name")
        at = parameter.end()


def check_size(size: int, cap: int) -> None:
    """Refuses a body of `size` bytes as sent, if that is over `cap`.

    Raises:
        PushTooLarge: it is.
    """
    if size > cap:
        raise PushTooLarge(f"request body too large: message size too large than max ({size} vs {cap})")


def _check_decompressed(size: int, cap: int) -> None:
    if size > cap:
        raise PushTooLarge(f"request body too large: decompressed message size too large than max ({size} vs {cap})")


def unwrap(body: bytes, encoding: str, cap: int) -> Payload:
    """Undoes Content-Encoding, which is case sensitive here as it is in Loki. `snappy` is left to `unsnap`.

    Args:
        body: as sent.
        encoding: the header, "" if missing.
        cap: most bytes that may come out.

    Raises:
        MalformedPush: the encoding is none of ours, or the gzip header is bad.
        PushTooLarge: more than `cap` bytes come out.
    """
    if encoding in ("", "snappy"):
        return Payload(body)
    if encoding == "gzip":
        return _gunzip(body, cap)
    if encoding == "deflate":
        data, fault, _ = _inflate(body, 0, cap)
        return Payload(data, fault)
    raise MalformedPush(f'Content-Encoding "{encoding}" not supported')


def _gunzip(body: bytes, cap: int) -> Payload:
    """Every member of a gzip body (RFC 1952), with Go's texts."""
    if not body:
        raise MalformedPush("EOF")
    at, fault = _gzip_header(body, 0)
    if fault:
        raise MalformedPush(fault)
    pieces: list[bytes] = []
    size = 0
    while True:
        data, fault, after = _inflate(body, at, cap - size)
        pieces.append(data)
        size += len(data)
        if fault is None:
            trailer = body[after : after + 8]
            if len(trailer) < 8:
                fault = _END
            elif trailer != (zlib.crc32(data) + ((len(data) & 0xFFFFFFFF) << 32)).to_bytes(8, "little"):
                fault = "gzip: invalid checksum"
        if fault or after + 8 == len(body):
            return Payload(b"".join(pieces), fault)
        at, fault = _gzip_header(body, after + 8)
        if fault:
            return Payload(b"".join(pieces), fault)


def _gzip_header(body: bytes, start: int) -> tuple[int, str | None]:
    """Where the header at `start` ends, or what is wrong with it."""
    if len(body) < start + 10:
        return start, _END
    if body[start : start + 3] != b"\x1f\x8b\x08":
        return start, "gzip: invalid header"
    flags = body[start + 3]
    at = start + 10
    if flags & _GZIP_EXTRA:
        at += 2 + int.from_bytes(body[at : at + 2], "little")
    for field in (_GZIP_NAME, _GZIP_COMMENT):
        if flags & field:
            at = body.find(b"\0", at) + 1 or len(body) + 1
    if flags & _GZIP_CHECKSUM:
        expected = zlib.crc32(body[start:at]) & 0xFFFF
        if len(body) >= at + 2 and int.from_bytes(body[at : at + 2], "little") != expected:
            return start, "gzip: invalid header"
        at += 2
    return (at, None) if at <= len(body) else (at, _END)


def _inflate(body: bytes, start: int, cap: int) -> tuple[bytes, str | None, int]:
    """Raw deflate (RFC 1951) from `start`: what came out, what went wrong, where its input ended."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    source = memoryview(body)[start:]
    try:
        data = inflater.decompress(source, cap + 1)
    except zlib.error:
        return _inflate_to_fault(source, cap)
    _check_decompressed(len(data), cap)
    if not inflater.eof:
        return data, _END, len(body)
    return data, None, len(body) - len(inflater.unused_data)


def _inflate_to_fault(source: memoryview, cap: int) -> tuple[bytes, str, int]:
    """What a corrupt deflate body gives before it breaks, which zlib's own answer leaves out."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces: list[bytes] = []
    size = at = 0
    while True:
        before = inflater.copy()
        try:
            piece = inflater.decompress(source[at : at + _STEP], cap - size + 1)
        except zlib.error:
            inflater = before
            break
        pieces.append(piece)
        size += len(piece)
        _check_decompressed(size, cap)
        at += _STEP
    while True:
        try:
            piece = _step(inflater, source[at : at + 1])
        except zlib.error:
            return b"".join(pieces), f"flate: corrupt input before offset {at + 1}", at + 1
        pieces.append(piece)
        at += 1


def _step(inflater: Any, byte: memoryview) -> bytes:
    """All that one byte of input gives, taken out a byte at a time so that nothing is lost to an error behind it."""
    out = bytearray()
    feed: bytes | memoryview = byte
    while True:
        try:
            piece = inflater.decompress(feed, 1)
        except zlib.error:
            if out:
                break  # the same error comes again with the next byte
            raise
        if not piece:
            break
        out += piece
        feed = inflater.unconsumed_tail
    return bytes(out)


def unsnap(body: bytes, cap: int) -> bytes:
    """Undoes the snappy block format.

    Args:
        body: a varint with the size of what comes out, then the elements.
        cap: most bytes that may come out.

    Raises:
        MalformedPush: the body is no snappy block.
        PushTooLarge: it says it holds more than `cap` bytes.
    """
    _checked_snappy_size(body, cap)
    try:
        return bytes(snappy.uncompress(body))
    except snappy.UncompressError:
        raise MalformedPush("snappy: corrupt input") from None


_NOTHING: U8 = np.empty(0, np.uint8)
_scratch: dict[int, U8] = {}
"""Memory by number of the thread that used it, the last to do so at the end: new memory for each body costs the system
as much as unpacking costs us."""


def unsnap_for_now(body: bytes, cap: int) -> U8:
    """As `unsnap`, into memory that this thread's next call writes over: all that is to stay must be copied."""
    size = _checked_snappy_size(body, cap)
    thread = threading.get_ident()
    room = _scratch.pop(thread, _NOTHING)
    if len(room) < size:
        room = np.empty(size, np.uint8)
    if len(room) <= _SCRATCH_BYTES:
        _scratch[thread] = room
        if len(_scratch) > _SCRATCH_THREADS:
            _scratch.pop(list(_scratch)[0], None)  # noqa: RUF015 - an iterator minds that other threads put theirs
    try:
        return room[: cramjam.snappy.decompress_raw_into(body, room.data)]
    except cramjam.DecompressionError:
        raise MalformedPush("snappy: corrupt input") from None


def _checked_snappy_size(body: bytes, cap: int) -> int:
    """The bytes that a snappy block says it holds. Raises as `unsnap` does where it cannot be so."""
    size = _snappy_size(body)
    if size is None:
        raise MalformedPush("snappy: corrupt input")
    _check_decompressed(size, cap)
    if size > _SNAPPY_RATIO * len(body):
        raise MalformedPush("snappy: corrupt input")
    return size


def _snappy_size(body: bytes) -> int | None:
    size = 0
    for place, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return size if size <= 0xFFFFFFFF else None
    return None


def decoded_size(body: bytes, encoding: str, media: str) -> int:
    """A guess, never below len(body), of the bytes that unpacking will take: what to reserve before doing it."""
    guess = 0
    if encoding == "gzip" and len(body) > 18:
        guess = min(int.from_bytes(body[-4:], "little"), _DEFLATE_RATIO * len(body))
    elif encoding == "deflate":
        guess = 8 * len(body)
    elif media != "application/json":
        guess = min(_snappy_size(body) or 0, _SNAPPY_RATIO * len(body))
    return max(len(body), guess)
