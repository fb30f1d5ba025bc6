"""Logs of containers: Docker's json-file and the form of the Container Runtime Interface (containerd, CRI-O).

A line that is not of the form is sent as it is, without a time and without a stream: nothing is lost of a broken file.

https://docs.docker.com/engine/logging/drivers/json-file/
https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

import msgspec
import numpy as np

from gateway.collect.rows import I64, NO_TIME, U8, Mask, Rows, joined, split_lines
from gateway.collect.stamps import WIDTH, read_stamps, stamps_of

STREAMS = ("", "stdout", "stderr")
"""By number; "" is what is not of the form."""
_RAW, _STDOUT, _STDERR = range(3)
_SPACE, _FULL, _PARTIAL, _COLON = b" FP:"


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """Rows of one stream.

    Attributes:
        number: of STREAMS.
        rows: in which lines that came in parts are one.
        is_open: whether the last of them is a part of which the end is not there.
    """

    number: int
    rows: Rows
    is_open: bool


class _Line(msgspec.Struct, gc=False):
    log: str
    stream: str = ""
    time: str = ""


_docker = msgspec.json.Decoder(_Line)
_log, _stream, _time = attrgetter("log"), attrgetter("stream"), attrgetter("time")


def docker_rows(chunk: bytes) -> list[Streamed]:
    """The rows of whole lines of a json-file log.

    A line of more than 16 KB comes in parts, of which only the last one has a newline.
    """
    raw = split_lines(chunk)
    lines, is_good = _decoded(chunk, raw)
    texts = list(map(str.encode, map(_log, lines)))
    is_full = np.fromiter((text.endswith(b"\n") for text in texts), np.bool_, len(texts))
    for place in np.flatnonzero(~is_full).tolist():
        texts[place] += b"\n"
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    is_error = np.fromiter(map("stderr".__eq__, map(_stream, lines)), np.bool_, len(lines))
    number = np.where(is_good, np.where(is_error, _STDERR, _STDOUT), _RAW).astype(np.int8)
    ts = stamps_of(list(map(_time, lines)))
    rows = Rows(b"".join(texts), ends, raw.first, raw.last, ts)
    return _by_stream(rows, number, is_full | ~is_good)


def _decoded(chunk: bytes, raw: Rows) -> tuple[list[_Line], Mask]:
    """A line for each row, and whether it is one of Docker's."""
    try:
        lines = _docker.decode_lines(chunk)
        if len(lines) == len(raw):  # no empty ones
            return lines, np.ones(len(lines), np.bool_)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    lines = []
    is_good = np.ones(len(raw), np.bool_)
    for place, text in enumerate(raw.text.split(b"\n")[: len(raw)]):
        try:
            line = _docker.decode(text)
            line.log.encode()
        except (msgspec.MsgspecError, UnicodeError):
            line = _Line(text.decode("utf-8", "replace") + "\n")
            is_good[place] = False
        lines.append(line)
    return lines, is_good


def is_docker(line: bytes) -> bool:
    """Whether a line is one of a json-file log."""
    try:
        found = _docker.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return found.stream in STREAMS[1:] and int(stamps_of([found.time])[0]) != NO_TIME


def cri_rows(chunk: bytes) -> list[Streamed]:
    """The rows of whole lines of a CRI log: `TIME STREAM TAG TEXT`, where the tag P says that the line goes on."""
    raw = split_lines(chunk)
    data = np.frombuffer(raw.text, np.uint8)
    begins = np.append(0, raw.ends[:-1])
    stop = raw.ends - 1
    spaces = np.append(np.flatnonzero(data == _SPACE), [len(data)] * 3)
    place = np.searchsorted(spaces, begins)
    first, second = spaces[place], spaces[place + 1]
    # What has no text may have no third space.
    third = np.minimum(spaces[place + 2], stop)
    is_good = (second < stop) & (second - first == len(" stdout")) & (third > second + 1)
    safe = np.where(is_good, first, 0)
    is_error = _is(data, safe + 1, b"stderr")
    is_good &= is_error | _is(data, safe + 1, b"stdout")
    tag_at = np.where(is_good, second + 1, 0)
    tag = data[tag_at]
    behind = data[np.minimum(tag_at + 1, len(data) - 1)]
    is_good &= ((tag == _FULL) | (tag == _PARTIAL)) & ((third == second + 2) | (behind == _COLON))
    ts = _stamps_at(data, begins, np.where(is_good, first, begins))
    is_good &= ts != NO_TIME
    # From behind the third space, or the newline where there is none.
    text_at = np.where(is_good, np.minimum(third + 1, stop), begins)
    number = np.where(is_good, np.where(is_error, _STDERR, _STDOUT), _RAW).astype(np.int8)
    counts = np.empty(2 * len(raw), np.int64)
    counts[::2], counts[1::2] = text_at - begins, raw.ends - text_at
    kept = np.repeat(np.tile(np.array([False, True]), len(raw)), counts)
    rows = Rows(data[kept].tobytes(), np.cumsum(counts[1::2]), raw.first, raw.last, np.where(is_good, ts, NO_TIME))
    return _by_stream(rows, number, ~is_good | (tag != _PARTIAL))


def is_cri(line: bytes) -> bool:
    """Whether a line is one of a CRI log."""
    return bool(line) and b"\n" not in line and any(each.number != _RAW for each in cri_rows(line))


def _is(data: U8, at: I64, word: bytes) -> Mask:
    found = np.ones(len(at), np.bool_)
    most = len(data) - 1
    for place, char in enumerate(word):
        found &= data[np.minimum(at + place, most)] == char
    return found


def _stamps_at(data: U8, begins: I64, ends: I64) -> I64:
    """The times that stand from `begins` to `ends`."""
    width = np.arange(WIDTH)
    chars = data[np.minimum(begins[:, None] + width, len(data) - 1)]
    size = ends - begins
    return np.where(size <= WIDTH, read_stamps(np.where(width < size[:, None], chars, 0).astype(np.uint8)), NO_TIME)


def _by_stream(rows: Rows, number: np.ndarray[tuple[int], np.dtype[np.int8]], is_full: Mask) -> list[Streamed]:
    """Rows stream by stream, those that came in parts put together."""
    found = []
    for each in np.unique(number).tolist():
        here = number == each
        own, full = (rows, is_full) if here.all() else (_chosen(rows, here), is_full[here])
        if not full.all():
            starts = np.ones(len(own), np.bool_)
            starts[1:] = full[:-1]
            own = joined(own, starts, newlines=False)
        found.append(Streamed(each, own, not full[-1]))
    return found


def _chosen(rows: Rows, here: Mask) -> Rows:
    sizes = np.diff(rows.ends, prepend=0)
    kept = np.repeat(here, sizes)
    text = np.frombuffer(rows.text, np.uint8)[kept].tobytes()
    ts = None if rows.ts is None else rows.ts[here]
    return Rows(text, np.cumsum(sizes[here]), rows.first[here], rows.last[here], ts)
