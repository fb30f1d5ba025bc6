"""From batches of lines to clusters and their counts.

A line costs one pass (logql/kernels/line_shapes.py) and a look-up of its shape; only a shape that is not known goes to
the tree. Not safe for several threads: its owner has a lock. Memory is bounded by the number of clusters and shapes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from logql.kernels.line_shapes import LATE, MAX_VARIABLE, NO_SHAPE, PROBES, find_shapes
from logql.patterns.counts import I64, Counts, Samples
from logql.patterns.tree import Cluster, Group, Tree, variable_places
from logql.patterns.words import split
from storage.batch import Batch, Column

LEVELS = ("unknown", "trace", "debug", "info", "warn", "error", "critical", "fatal")
"""What `detected_level` may be; anything else counts as unknown."""
LEVEL_KEY = "detected_level"
_CODES = {level.encode(): code for code, level in enumerate(LEVELS)}
_MANY_LEVELS = 1_000
"""Distinct values of a batch's detected_level above which they are no levels."""

SHAPES = 1 << 15
"""Places of the table of shapes: 80 bytes each."""
FULL = SHAPES * 3 // 5
"""Shapes at which it is emptied; the tree knows their clusters still."""
MOST_OF_GROUP = 300
"""Clusters of a stream's lines of one level (Loki's max_clusters)."""
MANY_LINES = 5_000
"""Lines of unknown shapes among which the frequent shapes are learned first."""
_LOOK_EVERY = 8
"""New shapes after which it is asked whether there is time for more: each costs some 30 µs."""
_OLDEST = np.iinfo(np.int64).min


@dataclass(slots=True)
class Learned:
    """What became of lines.

    Attributes:
        counted: they have a pattern.
        without: too long, too short or too old for one.
        late: of a stream that has newer ones.
        given_up: of a new shape, and there was no time for it.
        seconds: of CPU spent on new shapes.
    """

    counted: int = 0
    without: int = 0
    late: int = 0
    given_up: int = 0
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class TenantCounts:
    """A tenant's share.

    Attributes:
        seed: keeps its shapes apart from those of others.
        newest: int64[streams], the newest bucket of each.
        counts: of its clusters, since they last went to blocks.
    """

    seed: np.uint64
    newest: I64 = field(default_factory=lambda: np.full(64, _OLDEST, np.int64))
    counts: Counts = field(default_factory=Counts)


class Learner:
    """Clusters of all tenants."""

    def __init__(self, most: int, seed: int = 0) -> None:
        """At most so many clusters; `seed`: 64 bits that nobody outside knows: else shapes could be made to meet."""
        self.evicted = 0
        self._most = max(most, 4)
        self._seed = seed
        self._tenants: dict[str, TenantCounts] = {}
        self._trees: dict[Group, Tree] = {}
        self._live = 0
        self._clusters: list[Cluster | None] = []
        self._free: list[int] = []
        self._retired: set[int] = set()
        self._used: I64 = np.zeros(64, np.int64)
        self._tick = 0
        self._shapes = 0
        self._keys = np.zeros(SHAPES, np.uint64)
        self._seen = np.zeros(SHAPES * MAX_VARIABLE, np.uint32)
        self._fresh = np.zeros(SHAPES, np.uint8)
        self._differ = np.zeros(SHAPES, np.uint16)
        self._cluster_of = np.full(SHAPES, -1, np.int64)
        self._places: dict[int, list[int]] = {}

    @property
    def clusters(self) -> int:
        """Clusters that take lines."""
        return self._live

    def tenant(self, name: str) -> TenantCounts:
        """A tenant's share, made if it is new."""
        found = self._tenants.get(name)
        if found is None:
            seed = blake2b(name.encode(), digest_size=8, key=self._seed.to_bytes(8, "big")).digest()
            found = self._tenants[name] = TenantCounts(np.uint64(int.from_bytes(seed, "big")))
        return found

    def cluster(self, number: int) -> Cluster:
        """The cluster of a number that stands in some counts."""
        found = self._clusters[number]
        assert found is not None
        return found

    def learn(self, name: str, batch: Batch, rows: I64, weight: float, has_time: Callable[[], bool]) -> Learned:
        """Counts some rows of a batch.

        Args:
            name: the tenant.
            batch: rows on the tenant's stream table.
            rows: int64[m], which of them, in order of arrival.
            weight: how many lines each stands for.
            has_time: asked now and then whether new shapes may still be learned.

        Returns:
            What became of those rows.
        """
        tenant = self.tenant(name)
        stream = np.ascontiguousarray(batch.stream[rows])
        if len(rows) and (top := int(stream.max())) >= len(tenant.newest):
            more = max(top + 1 - len(tenant.newest), len(tenant.newest))
            tenant.newest = np.concatenate([tenant.newest, np.full(more, _OLDEST, np.int64)])
        asked = _Asked(
            batch,
            rows,
            stream,
            batch.ts[rows],
            _levels(batch.metadata.get(LEVEL_KEY), rows),
            tenant.seed,
            tenant.newest,
        )
        self._tick += 1
        found = self._look_up(asked, in_order=True)
        learned = Learned(
            without=int(np.count_nonzero(found.places == NO_SHAPE)), late=int(np.count_nonzero(found.places == LATE))
        )
        unknown = self._unknown(found)
        if len(unknown):
            began = time.thread_time()
            self._learn_shapes(name, asked.take(unknown), found.hashes[unknown], has_time)
            learned.seconds = time.thread_time() - began
            again = self._look_up(asked.take(unknown), in_order=False)
            found.places[unknown] = again.places
            # What was evicted meanwhile to make room, or given up for want of time, is not counted.
            learned.given_up = len(self._unknown(found))
        placed = np.flatnonzero(found.places >= 0)
        numbers = self._cluster_of[found.places[placed]]
        known = numbers >= 0
        pairs = (numbers[known] << 32) | found.buckets[placed[known]]
        pairs, lines = np.unique(pairs, return_counts=True)
        if len(pairs):
            what = pairs >> 32
            self._used[what] = self._tick
            count = np.maximum(1, np.rint(lines * weight)).astype(np.int64)
            tenant.counts.add(Samples(what, pairs & 0xFFFFFFFF, count))
        learned.counted = int(lines.sum())
        return learned

    def _look_up(self, asked: _Asked, *, in_order: bool) -> _Found:
        size = len(asked.rows)
        places, buckets = np.empty(size, np.int64), np.empty(size, np.int64)
        hashes, changed = np.empty(size, np.uint64), np.empty(size, np.int64)
        lines = asked.batch.lines
        count = find_shapes(
            lines.data,
            lines.offsets,
            asked.rows,
            asked.stream,
            asked.ts,
            asked.level,
            in_order,
            asked.seed,
            asked.newest,
            self._keys,
            self._seen,
            self._fresh,
            self._differ,
            places,
            hashes,
            buckets,
            changed,
        )
        for place in set(changed[:count].tolist()):
            number = int(self._cluster_of[place])
            if number >= 0:
                bits = int(self._differ[place])
                where = self._places[place][:MAX_VARIABLE]
                self.cluster(number).differ([at for nth, at in enumerate(where) if bits >> nth & 1])
        return _Found(places, hashes, buckets)

    def _unknown(self, found: _Found) -> I64:
        """Rows whose shape has no cluster."""
        places = found.places
        orphans = (places >= 0) & (self._cluster_of[np.maximum(places, 0)] < 0)
        return np.flatnonzero((places == -1) | orphans)

    def _learn_shapes(self, name: str, asked: _Asked, hashes: NDArray[np.uint64], has_time: Callable[[], bool]) -> None:
        keys, first, lines = np.unique(hashes, return_index=True, return_counts=True)
        # As they came, as Loki learns them; the frequent ones first where not all can be.
        order = np.argsort(first if len(asked.rows) <= MANY_LINES else -lines, kind="stable")
        for nth, (key, at) in enumerate(zip(keys[order].tolist(), first[order].tolist(), strict=True)):
            if nth % _LOOK_EVERY == _LOOK_EVERY - 1 and not has_time():
                return
            line = asked.batch.lines[int(asked.rows[at])]
            self._learn_shape(key, (name, int(asked.stream[at]), int(asked.level[at])), line)

    def _learn_shape(self, key: int, group: Group, line: bytes) -> None:
        found = split(line)
        tree = self._trees.get(group)
        if tree is None:
            tree = self._trees[group] = Tree()
        leaf = tree.leaf(found)
        cluster = tree.match(leaf, found)
        if cluster is None:
            if len(tree) >= MOST_OF_GROUP:
                self._evict([one.number for one in tree], MOST_OF_GROUP // 4)
            if self._live >= self._most:
                self._evict([one.number for each in self._trees.values() for one in each], self._most // 4)
            tree = self._trees.setdefault(group, tree)
            leaf = tree.leaf(found)  # eviction may have cut it off
            cluster = Cluster(self._new_number(), group, found)
            self._clusters[cluster.number] = cluster
            tree.put(leaf, cluster)
            self._live += 1
        else:
            cluster.add(found)
        self._used[cluster.number] = self._tick
        self._put(key, cluster.number, variable_places(found))

    def _put(self, key: int, number: int, places: list[int]) -> None:
        if self._shapes >= FULL:
            self._keys[:] = 0
            self._cluster_of[:] = -1
            self._places.clear()
            self._shapes = 0
        for probe in range(PROBES):
            here = (key + probe) & (SHAPES - 1)
            held = int(self._keys[here])
            if held not in (0, key):
                continue
            self._shapes += held == 0
            self._keys[here] = key
            self._fresh[here] = 1
            self._differ[here] = 0
            self._cluster_of[here] = number
            self._places[here] = places
            return

    def _new_number(self) -> int:
        if self._free:
            return self._free.pop()
        self._clusters.append(None)
        if len(self._clusters) > len(self._used):
            self._used = np.concatenate([self._used, np.zeros(len(self._used), np.int64)])
        return len(self._clusters) - 1

    def _evict(self, among: list[int], count: int) -> None:
        """Ends clusters that had no line for longest; what they have counted stays until it is in a block."""
        gone = set(sorted(among, key=lambda number: int(self._used[number]))[: max(count, 1)])
        for group in {self.cluster(number).group for number in gone}:
            tree = self._trees[group]
            tree.drop(gone)
            if not len(tree):
                del self._trees[group]
        self._cluster_of[np.isin(self._cluster_of, list(gone))] = -1
        self._retired |= gone
        self._live -= len(gone)
        self.evicted += len(gone)

    def free_retired(self, others: Iterable[Samples]) -> None:
        """Frees the numbers of clusters that have ended and are counted nowhere any more, `others` included."""
        if not self._retired:
            return
        counted: set[int] = set()
        for tenant in self._tenants.values():
            counted.update(np.unique(tenant.counts.samples().what).tolist())
        for samples in others:
            counted.update(np.unique(samples.what).tolist())
        for number in self._retired - counted:
            self._clusters[number] = None
            self._free.append(number)
        self._retired &= counted


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Rows to be looked up; see find_shapes."""

    batch: Batch
    rows: I64
    stream: NDArray[np.int32]
    ts: I64
    level: NDArray[np.int8]
    seed: np.uint64
    newest: I64

    def take(self, some: I64) -> _Asked:
        """Some of them."""
        return _Asked(
            self.batch, self.rows[some], self.stream[some], self.ts[some], self.level[some], self.seed, self.newest
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    places: I64
    hashes: NDArray[np.uint64]
    buckets: I64


def _levels(column: Column | None, rows: I64) -> NDArray[np.int8]:
    """int8[m], each row's level; 0, unknown, where there is none."""
    if column is None or len(column.values) > _MANY_LEVELS:
        return np.zeros(len(rows), np.int8)
    # One more at the end: rows without a value have code -1.
    codes = np.array([_code(value) for value in column.values.tolist()] + [0], np.int8)
    return codes[column.codes[rows]]


def _code(value: bytes) -> int:
    return _CODES.get(value, 0)
