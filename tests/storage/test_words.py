"""What blocks say of their metadata: told, joined, written and read back."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import Grouping
from storage.batch import I64
from storage.blockread import read_footer
from storage.errors import CorruptBlock
from storage.words import MOST_WORDS, KeySaid, bits_of, decode, encode, join, tally, word_hash
from tests.storage.entries import NOON, Entry, batch_of, entry, entry_lists, plain, start, stored


def told(said: Sequence[KeySaid], spans: int) -> list[dict[str | None, tuple[int, int, set[int] | None]]]:
    """Of each stretch: key -> (pairs, bytes, hashes of its values)."""
    found: list[dict[str | None, tuple[int, int, set[int] | None]]] = [{} for _ in range(spans)]
    for one in said:
        for place, span in enumerate(one.spans.tolist()):
            words = None
            if one.words is not None:
                words = {word for number, word in enumerate(one.words) if bits_of(one.sets, number)[place]}
            found[span][one.key] = int(one.pairs[place]), int(one.bytes[place]), words
    return found


def seen(rows: Sequence[Entry]) -> dict[str | None, tuple[int, int, set[int] | None]]:
    """The same of some rows, by going through them."""
    values: dict[str | None, list[bytes]] = {}
    for _, _, _, metadata in rows:
        for key, value in metadata:
            values.setdefault(key, []).append(value)
    return {key: (len(own), sum(map(len, own)), set(map(word_hash, own))) for key, own in values.items()}


@given(rows=entry_lists, cuts=st.lists(st.integers(1, 10), max_size=4), seed=st.integers(0, 9))
def test_stretches_are_told_what_their_rows_have(rows: list[Entry], cuts: list[int], seed: int) -> None:
    rows = [(labels, ts, line, metadata[:3]) for labels, ts, line, metadata in rows]
    if not rows or len({key for row in rows for key, _ in row[3]}) > 60:
        return
    heads = np.array([0, *sorted({cut for cut in cuts if cut < len(rows)})])
    ends = [*heads[1:].tolist(), len(rows)]
    order: I64 = np.random.default_rng(seed).permutation(len(rows))
    for batch in (batch_of(rows), plain(batch_of(rows))):
        expected = [seen(rows[head:end]) for head, end in zip(heads.tolist(), ends, strict=True)]
        assert told(tally(batch, heads), len(heads)) == expected
        mixed = [rows[place] for place in order.tolist()]
        expected = [seen(mixed[head:end]) for head, end in zip(heads.tolist(), ends, strict=True)]
        said = tally(batch, heads, order)
        assert told(said, len(heads)) == expected
        assert told(decode(encode(said)), len(heads)) == expected


def test_very_many_stretches_are_read_in_pieces_and_in_little_memory() -> None:
    count = 100_000
    sets = np.zeros((count, 2), np.uint64)
    sets[:, 0] = np.arange(count) % (1 << 12)
    sets[:, 1] = np.uint64(1 << 63)
    words = {word_hash(b"%d" % number): number for number in range(MOST_WORDS)}
    spans = np.arange(count)
    said = KeySaid("level", spans, spans % 7, spans * 1_000_003, words, sets)
    body = encode([said])
    gc.collect()
    tracemalloc.start()
    (again,) = decode(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert again.words == words
    for mine, other in ((again.spans, spans), (again.pairs, said.pairs), (again.bytes, said.bytes), (again.sets, sets)):
        assert np.array_equal(mine, other)
    # What stays: 40 bytes a stretch. Beside it the texts of its arrays, and one of these twice.
    assert peak < 40 * count + 2 * len(body) + (4 << 20)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"spans":[0],"pairs":[1],"bytes":[1.5]}]',
        b'[{"spans":{},"pairs":[1],"bytes":[1]}]',
        b'[{"spans":[0],"pairs":[1],"bytes":[1],"words":["00"],"sizes":[2],"sets":[[1]],"set":[0]}]',
        b'[{"spans":[0],"pairs":[1],"bytes":[1],"words":["00"],"sizes":[2],"sets":[[-1]],"set":[0]}]',
        b'[{"spans":[0],"pairs":[1],"bytes":[1],"words":["00"],"sizes":[],"sets":[[0]],"set":[0]}]',
        b'[{"spans":[0],"pairs":[1],"bytes":[1],"words":["00"],"sizes":[2],"sets":[[0]],"set":[1]}]',
    ],
)
def test_what_is_not_of_the_form_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)


def test_those_of_several_are_joined() -> None:
    first = [entry("a", 1, level="info", pod="p"), entry("a", 2, level="warn")]
    second = [entry("a", 3, level="error"), entry("a", 4, level="info")]
    heads = np.array([0, 1])
    both = join([(0, tally(batch_of(first), heads)), (2, tally(batch_of(second), heads))])
    assert told(both, 4) == [seen([row]) for row in first + second]
    assert told(decode(encode(both)), 4) == told(both, 4)


@pytest.mark.parametrize("form", [batch_of, lambda rows: plain(batch_of(rows))])
@pytest.mark.parametrize(("values", "are_told"), [(MOST_WORDS, True), (MOST_WORDS + 1, False), (5 * MOST_WORDS, False)])
def test_values_are_told_up_to_a_number(form: object, values: int, *, are_told: bool) -> None:
    assert callable(form)
    rows = [entry("a", n, trace=f"t{n % values}") for n in range(6 * values)]
    (one,) = tally(form(rows), np.array([0]))
    assert (one.words is not None) == are_told
    assert one.bytes.tolist() == [sum(len(f"t{n % values}") for n in range(6 * values))]
    (again,) = decode(encode([one]))
    assert again.words == one.words


def test_of_two_with_too_many_values_together_only_bytes_are_said() -> None:
    parts = [tally(batch_of([entry("a", n, k=f"{first + n}") for n in range(80)]), np.array([0])) for first in (0, 80)]
    (one,) = join([(0, parts[0]), (1, parts[1])])
    assert (one.words, one.spans.tolist(), one.pairs.tolist()) == (None, [0, 1], [80, 80])
    assert len(parts[0][0].words or ()) == 80


def test_a_block_that_says_nothing_of_its_metadata_counts_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.blockwrite.encode", lambda _: b"")
    store = start(tmp_path)
    stored(store, [entry("a", NOON + n, "line", level="info") for n in range(3)])
    store.flush()
    block = store._state.tenants["t"].view.blocks[0]
    assert read_footer(block.path).metadata == b""
    ((_, size),) = store.volumes("t", (), NOON, NOON + 9, 0, Grouping())[0].series
    assert size == 3 * len("linelevelinfo")
    store.close()


def test_what_cannot_be_read_names_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.blockwrite.encode", lambda _: b'[{"spans":1}]')
    store = start(tmp_path)
    stored(store, [entry("a", NOON, "line", level="info")])
    store.flush()
    with pytest.raises(CorruptBlock, match=r"what it says of metadata cannot be read"):
        store.volumes("t", (), NOON, NOON, 0, Grouping())
    store.close()
