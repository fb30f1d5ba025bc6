"""Which metadata keys get columns of their own in a block that is made of others, and which of these a dictionary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from storage.batch import MAX_COLUMNS
from storage.blockwrite import Layout
from storage.compact.source import Source


def choose_metadata(sources: Sequence[Source], pause: Callable[[], None]) -> Layout:
    """The keys of all sources, if they are few; else the most frequent, for which all metadata is read.

    `pause` is called between row groups. Raises UnreadableSource.
    """
    keys = sorted({key for source in sources for key in source.columns})
    has_rest = len(keys) > MAX_COLUMNS or any(source.has_rest for source in sources)
    if has_rest:
        counts: Counter[str] = Counter()
        for source in sources:
            for group in range(source.groups):
                counts.update(source.counts(group))
                pause()
        ranked = sorted(counts, key=lambda key: (-counts[key], key))
        keys, has_rest = sorted(ranked[:MAX_COLUMNS]), len(ranked) > MAX_COLUMNS
    return Layout(tuple(keys), {key: _repeats(key, sources) for key in keys}, has_rest)


def _repeats(key: str, sources: Sequence[Source]) -> bool:
    """Whether a key's values repeated enough for a dictionary in most rows."""
    held = [source for source in sources if key in source.columns]
    coded = sum(source.block.rows for source in held if source.columns[key])
    return 2 * coded >= sum(source.block.rows for source in held)
