"""What structured metadata adds to a stretch of rows, so that stretches can be added up however blocks are cut.

Loki counts of metadata 8 bytes a pair, and each distinct text (a key, a value) of a chunk once (recorded). Distinct
texts of two stretches cannot be added up as numbers, so each stretch says which it has: as hashes, numbered within a
batch or a block. Keys whose values are too many to be told are said by their bytes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from storage.batch import I32, I64, Batch, Column, Pairs, Texts

U64 = NDArray[np.uint64]

MOST_WORDS = 128
"""Distinct values up to which a key's are told: log levels, hosts, status codes, and no trace ids."""
_WORD = 64
_SETS = MOST_WORDS // _WORD
_AT_ONCE = 1 << 14
_PIECE = 1 << 16
"""Stretches that are written, and bytes of text that are read, by way of Python's numbers at once."""
_SAMPLE = 4 * MOST_WORDS
"""Values that are looked at first: of a key with very many, these alone are too many."""


@dataclass(frozen=True, slots=True, eq=False)
class KeySaid:
    """One metadata key in k stretches of rows.

    Attributes:
        key: the key; None: all keys that share a block's column for the rarer ones.
        spans: int64[m], the stretches that have it, ascending.
        pairs: int64[m], rows with it.
        bytes: int64[m], bytes of its values; of the rarer keys, of names and values.
        words: hash -> length in bytes of each distinct value, numbered in this order; None: too many.
        sets: uint64[m, 2], bit n: the stretch has value n. Without rows where words is None.
    """

    key: str | None
    spans: I64
    pairs: I64
    bytes: I64
    words: Mapping[int, int] | None
    sets: U64


_NO_SETS: U64 = np.zeros((0, _SETS), np.uint64)


def word_hash(text: bytes) -> int:
    """What a text is known by."""
    return xxhash.xxh64_intdigest(text)


def tally(batch: Batch, heads: I64, order: I64 | None = None) -> list[KeySaid]:
    """What is said of the metadata of a batch's rows.

    Args:
        batch: n > 0 rows, no selection.
        heads: int64[k], the first row of each stretch, ascending, the first 0.
        order: int64[n], the batch's rows in the order that `heads` speaks of; None: as they stand.
    """
    found = [_of_column(key, column, heads, order) for key, column in batch.metadata.items()]
    if batch.rest is not None:
        found.append(_of_rest(batch.rest, heads, order))
    return [one for one in found if one is not None]


def _of_column(key: str, column: Column, heads: I64, order: I64 | None) -> KeySaid | None:
    codes = column.codes if order is None else column.codes[order]
    counts = np.add.reduceat(codes >= 0, heads, dtype=np.int64)
    spans = np.flatnonzero(counts)
    if not len(spans):
        return None
    lengths = np.append(column.values.lengths, 0)  # the code -1 takes the last
    size = np.add.reduceat(lengths[codes], heads)[spans]
    used = np.flatnonzero(np.bincount(codes + 1, minlength=len(lengths))[1:])
    numbered = _numbered(column.values, used)
    if numbered is None:
        return KeySaid(key, spans, counts[spans], size, None, _NO_SETS)
    numbers, words = numbered
    sets: U64 = np.zeros((len(spans), _SETS), np.uint64)
    for part in range(_SETS):
        here = numbers // _WORD == part
        if here.any():
            bits: U64 = np.zeros(len(lengths), np.uint64)
            bits[used[here]] = np.uint64(1) << (numbers[here] % _WORD).astype(np.uint64)
            sets[:, part] = np.bitwise_or.reduceat(bits[codes], heads)[spans]
    return KeySaid(key, spans, counts[spans], size, words, sets)


def _numbered(values: Texts, used: I64) -> tuple[I32, dict[int, int]] | None:
    """Of each value in use its number among the distinct ones, and these; None if they are too many."""
    if len(used) > _SAMPLE and len(values.take(used[:_SAMPLE]).to_arrow().unique()) > MOST_WORDS:
        return None
    coded = values.take(used).to_arrow().dictionary_encode()
    if len(coded.dictionary) > MOST_WORDS:
        return None
    texts: list[bytes] = coded.dictionary.to_pylist()
    return coded.indices.to_numpy(), {word_hash(text): len(text) for text in texts}


def _of_rest(rest: Pairs, heads: I64, order: I64 | None) -> KeySaid | None:
    names = np.array([len(name.encode()) for name in rest.names], np.int64)
    ends = np.concatenate([[0], np.cumsum(names[rest.keys] + rest.values.lengths)])
    counts, size = np.diff(rest.offsets), ends[rest.offsets[1:]] - ends[rest.offsets[:-1]]
    if order is not None:
        counts, size = counts[order], size[order]
    pairs = np.add.reduceat(counts, heads)
    spans = np.flatnonzero(pairs)
    if not len(spans):
        return None
    return KeySaid(None, spans, pairs[spans], np.add.reduceat(size, heads)[spans], None, _NO_SETS)


def join(parts: Iterable[tuple[int, Sequence[KeySaid]]]) -> list[KeySaid]:
    """What several say of stretches, as one says it of all of them.

    Args:
        parts: of each the number of its first stretch among all, ascending, and what it says.
    """
    by_key: dict[str | None, list[tuple[int, KeySaid]]] = {}
    for first, said in parts:
        for one in said:
            by_key.setdefault(one.key, []).append((first, one))
    return [_joined(key, found) for key, found in by_key.items()]


def _joined(key: str | None, parts: Sequence[tuple[int, KeySaid]]) -> KeySaid:
    if len(parts) == 1 and parts[0][0] == 0:
        return parts[0][1]
    words = _all_words([one.words for _, one in parts])
    return KeySaid(
        key,
        spans=np.concatenate([first + one.spans for first, one in parts]),
        pairs=np.concatenate([one.pairs for _, one in parts]),
        bytes=np.concatenate([one.bytes for _, one in parts]),
        words=words,
        sets=_NO_SETS if words is None else np.concatenate([_renumbered(one, words) for _, one in parts]),
    )


def _all_words(parts: Sequence[Mapping[int, int] | None]) -> dict[int, int] | None:
    words: dict[int, int] = {}
    for part in parts:
        if part is None:
            return None
        words.update(part)
        if len(words) > MOST_WORDS:
            return None
    return words


def _renumbered(said: KeySaid, words: Mapping[int, int]) -> U64:
    own = list(said.words or ())
    number = {word: at for at, word in enumerate(words)}
    numbers = [number[word] for word in own]
    if numbers == list(range(len(own))):
        return said.sets
    sets = np.zeros_like(said.sets)
    for at, new in enumerate(numbers):
        sets[:, new // _WORD] |= bits_of(said.sets, at) << np.uint64(new % _WORD)
    return sets


def bits_of(sets: U64, number: int) -> U64:
    """uint64[m], 0 or 1: whether each set has the value of that number."""
    return (sets[:, number // _WORD] >> np.uint64(number % _WORD)) & np.uint64(1)


_NO_NUMBERS = msgspec.Raw(b"[]")


class _Written(msgspec.Struct):
    """A KeySaid as it stands in a footer, the parts that may be long as their text; FORMAT.md says what it means."""

    spans: msgspec.Raw
    pairs: msgspec.Raw
    bytes: msgspec.Raw
    key: str | None = None
    words: list[str] | None = None
    sizes: list[int] = []
    sets: msgspec.Raw = _NO_NUMBERS
    set: msgspec.Raw = _NO_NUMBERS


def encode(said: Sequence[KeySaid]) -> bytes:
    """What a block says of its metadata, as JSON."""
    return b"[" + b",".join(map(_written, said)) + b"]"


def _written(said: KeySaid) -> bytes:
    members = {"spans": _numbers(said.spans), "pairs": _numbers(said.pairs), "bytes": _numbers(said.bytes)}
    if said.key is not None:
        members["key"] = msgspec.json.encode(said.key)
    if said.words is not None:
        sets, which = _distinct(said.sets)
        numbers = range(len(said.words))
        bits = [bits_of(sets, number).tolist() for number in numbers]
        members["words"] = msgspec.json.encode([f"{word:016x}" for word in said.words])
        members["sizes"] = msgspec.json.encode(list(said.words.values()))
        members["sets"] = msgspec.json.encode(
            [[number for number in numbers if bits[number][place]] for place in range(len(sets))]
        )
        members["set"] = _numbers(which)
    return b"{" + b",".join([b'"%b":%b' % (name.encode(), value) for name, value in members.items()]) + b"}"


def _numbers(values: I64) -> bytes:
    """A JSON array. Some at a time become Python's numbers: of very many stretches they would be much memory."""
    pieces = [
        msgspec.json.encode(values[first : first + _AT_ONCE].tolist())[1:-1]
        for first in range(0, len(values), _AT_ONCE)
    ]
    return b"[" + b",".join(pieces) + b"]"


def _distinct(sets: U64) -> tuple[U64, I64]:
    """(the distinct sets, int64[m]: which of them each is)."""
    which: I64 = np.zeros(len(sets), np.int64)
    for part in range(_SETS):
        values, column = np.unique(sets[:, part], return_inverse=True)
        which = np.unique(which * len(values) + column, return_inverse=True)[1]
    firsts: I64 = np.zeros(int(which.max()) + 1, np.int64)
    firsts[which] = np.arange(len(which))
    return sets[firsts], which


def decode(body: bytes) -> list[KeySaid]:
    """What a block says. Raises ValueError, msgspec's errors among them."""
    return [_read(one) for one in msgspec.json.decode(body, type=list[_Written])]


def _read(written: _Written) -> KeySaid:
    words: dict[int, int] | None = None
    sets = _NO_SETS
    if written.words is not None:
        words = {int(word, 16): size for word, size in zip(written.words, written.sizes, strict=True)}
        if len(words) > MOST_WORDS:
            raise ValueError(f"more than {MOST_WORDS} values of a key")
        sets, which = _read_sets(written.sets, len(words)), _read_numbers(written.set)
        if len(which) and not 0 <= which.min() <= which.max() < len(sets):
            raise ValueError(f"a set that is none of {len(sets)}")
        sets = sets[which]
    return KeySaid(
        written.key,
        _read_numbers(written.spans),
        _read_numbers(written.pairs),
        _read_numbers(written.bytes),
        words,
        sets,
    )


def _read_numbers(text: msgspec.Raw) -> I64:
    """int64[]: a JSON array of numbers. Raises ValueError."""
    pieces = [np.array(msgspec.json.decode(piece, type=list[int]), np.int64) for piece in _pieces(text, b",")]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _read_sets(text: msgspec.Raw, words: int) -> U64:
    """uint64[m, 2]: a JSON array of arrays of numbers below `words`. Raises ValueError."""
    found = []
    for piece in _pieces(text, b"],"):
        several = msgspec.json.decode(piece, type=list[list[int]])
        sets: U64 = np.zeros((len(several), _SETS), np.uint64)
        for place, members in enumerate(several):
            for number in members:
                if not 0 <= number < words:
                    raise ValueError(f"value {number} of {words}")
                sets[place, number // _WORD] |= np.uint64(1 << number % _WORD)
        found.append(sets)
    return np.concatenate(found)


def _pieces(text: msgspec.Raw, between: bytes) -> Iterator[bytes]:
    """JSON arrays of some members each that make up one, whose members end where `between` stands.

    Its numbers would take 32 bytes each as Python's, and there is one for each stretch and key.
    """
    body = bytes(text)
    at = 0
    while True:
        cut = body.find(between, at + _PIECE)
        if cut < 0:
            yield b"[" * (at > 0) + body[at:]
            return
        end = cut + len(between) - 1
        yield b"[" * (at > 0) + body[at:end] + b"]"
        at = end + 1
