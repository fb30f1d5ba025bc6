"""Batch: a columnar run of entries, the one data structure that crosses every seam.

Invariant: the columns have equal length and are never written to once a Batch is made, so that readers need no lock.
No Python object exists per line; lines and metadata values are bytes and may be invalid UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

U8: TypeAlias = NDArray[np.uint8]
U32: TypeAlias = NDArray[np.uint32]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""A label set: (name, value) pairs sorted by name, names unique, no empty value."""

MAX_COLUMNS = 64
"""Metadata keys of one batch that get a column of their own. A wider batch is one whose keys are data (user ids as
keys): its rarer keys share `Batch.rest`, so that n rows with n keys cost n pairs and not n columns of n codes."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """n byte strings as they came, with other bytes around them, in a block that is compressed already.

    Attributes:
        block: snappy's block format.
        size: bytes that it unpacks to.
        gaps: uint32[n], bytes between the end of the string before (of the first: the beginning) and each string.
    """

    block: bytes
    size: int
    gaps: U32


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """n byte strings in one buffer, laid out as Arrow's large_binary.

    Attributes:
        data: uint8[], the strings one after the other.
        offsets: int64[n + 1], where each begins; offsets[0] need not be 0.
        packed: the same strings, for a log that would else compress them again; only until they are in it.
    """

    data: U8
    offsets: I64
    packed: Packed | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    @property
    def lengths(self) -> I64:
        """int64[n], bytes of each string."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        """Bytes of all strings together."""
        return int(self.offsets[-1] - self.offsets[0])

    def tolist(self) -> list[bytes]:
        """Every string as bytes. For answers and tests: one Python object a string."""
        raw = self.data.tobytes()
        bounds = self.offsets.tolist()
        return [raw[a:b] for a, b in pairwise(bounds)]

    def take(self, rows: NDArray[np.integer]) -> Texts:
        """The strings at `rows`, in that order, in a buffer of their own."""
        return texts_from_arrow(self.to_arrow().take(pa.array(rows)))

    def slice(self, start: int, stop: int) -> Texts:
        """Strings start..stop as a view."""
        return Texts(self.data, self.offsets[start : stop + 1])

    def compact(self) -> Texts:
        """The same strings with offsets[0] == 0 and no unused bytes around them."""
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        if first == 0 and last == len(self.data):
            return self
        return Texts(self.data[first:last], self.offsets - first)

    def to_arrow(self) -> pa.Array:
        """A large_binary array over the same memory."""
        return pa.LargeBinaryArray.from_buffers(
            pa.large_binary(),
            len(self),
            [None, pa.py_buffer(np.ascontiguousarray(self.offsets)), pa.py_buffer(self.data)],
        )


def texts(values: Iterable[bytes]) -> Texts:
    """Texts of the given strings."""
    items = list(values)
    offsets = np.zeros(len(items) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, items), np.int64, len(items)), out=offsets[1:])
    return Texts(np.frombuffer(b"".join(items), np.uint8), offsets)


def texts_from_arrow(array: pa.Array) -> Texts:
    """Texts over the memory of a (large_)binary or (large_)string array without nulls."""
    wide = pa.types.is_large_binary(array.type) or pa.types.is_large_string(array.type)
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64 if wide else np.int32)[array.offset : array.offset + len(array) + 1]
    payload = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return Texts(payload, bounds.astype(np.int64, copy=False))


_ZERO: I64 = np.zeros(1, np.int64)


def concat_texts(parts: Sequence[Texts]) -> Texts:
    """All strings of all parts."""
    if len(parts) == 1:
        return parts[0]
    bounds = [(int(part.offsets[0]), int(part.offsets[-1])) for part in parts]
    sizes = [last - first for first, last in bounds]
    ends = np.cumsum(sizes)
    offsets = np.concatenate([_ZERO, *(part.offsets[1:] for part in parts)])
    shifts = ends - [last for _, last in bounds]
    offsets[1:] += np.repeat(shifts, [len(part.offsets) - 1 for part in parts])
    return Texts(np.concatenate([part.data[a:b] for part, (a, b) in zip(parts, bounds, strict=True)]), offsets)


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The values of one metadata key.

    Attributes:
        codes: int32[n], row -> index into `values`, -1 where the row has no such key.
        values: the dictionary. Distinct where that saves room; about one string a row otherwise.
    """

    codes: I32
    values: Texts

    def take(self, rows: NDArray[np.integer]) -> Column:
        """The column at `rows`; the dictionary shrinks to what they use when they are few."""
        codes = self.codes[rows]
        if len(self.values) <= 2 * len(codes) + 16:
            return Column(codes, self.values)
        used, back = np.unique(codes, return_inverse=True)
        skip = int(len(used) > 0 and used[0] < 0)
        return Column((back - skip).astype(np.int32), self.values.take(used[skip:]))

    def __getitem__(self, row: int) -> bytes | None:
        code = self.codes[row]
        return None if code < 0 else self.values[int(code)]


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Key/value pairs of n rows, any number a row: metadata whose keys are too many for columns.

    Attributes:
        offsets: int64[n + 1], row -> its first pair.
        keys: int32[m], pair -> index into `names`.
        names: the keys, distinct.
        values: m strings, pair -> value.
    """

    offsets: I64
    keys: I32
    names: tuple[str, ...]
    values: Texts


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """n entries.

    Attributes:
        streams: what `stream` indexes: a tenant's stream table, or the few label sets of one push.
        stream: int32[n].
        ts: int64[n], nanoseconds since the epoch.
        lines: n lines.
        metadata: key -> Column, at most MAX_COLUMNS keys.
        rest: metadata of all other keys, if there are any.
        selection: rows that are still wanted, ascending; None means all. Stages narrow it, they do not copy lines.
    """

    streams: Sequence[Labels]
    stream: I32
    ts: I64
    lines: Texts
    metadata: Mapping[str, Column] = field(default_factory=dict)
    rest: Pairs | None = None
    selection: I64 | None = None

    def __len__(self) -> int:
        return len(self.ts)


def empty_batch(streams: Sequence[Labels]) -> Batch:
    """A batch without entries."""
    return Batch(streams, np.zeros(0, np.int32), np.zeros(0, np.int64), texts([]))
