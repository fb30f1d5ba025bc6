"""Drain: lines to clusters by a parse tree of fixed depth (He et al., ICWS 2017), with the figures of Loki's.

A leaf is reached by the line's delimiters, then word by word: a variable word takes the branch of wildcards, as does
any word where a node has branches enough. In the leaf the most similar cluster takes the line if it is similar enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from logql.kernels.line_shapes import MAX_VARIABLE
from logql.patterns.words import WILD, Words, join

DEPTH = 28
"""Words that choose a leaf: Loki's LogClusterDepth is 30, its root and its leaves counted."""
MAX_CHILDREN = 15
"""Branches of a node, the one of wildcards counted."""
SIMILAR = 0.3
"""Part of the words that a line has to share with a cluster."""

Group: TypeAlias = tuple[str, int, int]
"""Tenant, stream number, level: what has a tree of its own."""


class Cluster:
    """Lines of one pattern.

    Attributes:
        number: who keeps it knows it by.
        group: of what its lines are: a tenant's stream, and a level.
        gaps: what stands around its words.
        words: of all its lines; None where they differ.
    """

    __slots__ = ("_text", "gaps", "group", "number", "words")

    def __init__(self, number: int, group: Group, found: Words) -> None:
        """The cluster of one line."""
        self.number = number
        self.group = group
        self.gaps = found.gaps
        self.words: tuple[bytes | None, ...] = tuple([None if _is_wild(word) else word for word in found.words])
        self._text: str | None = None
        self.differ(variable_places(found)[MAX_VARIABLE:])

    def similarity(self, found: Words) -> float:
        """Part of the words that a line of the same gaps shares with it; variable words count as shared."""
        if not found.words:
            return 1.0
        pairs = zip(self.words, found.words, found.variable, strict=True)
        # Another variable word stands where the lines of this leaf have theirs, but far from the beginning.
        same = [mine == its or variable for mine, its, variable in pairs]
        return sum(same) / len(same)

    def add(self, found: Words) -> None:
        """Takes a line of the same gaps: where it differs there is a wildcard."""
        self.differ([at for at, (mine, its) in enumerate(zip(self.words, found.words, strict=True)) if mine != its])
        self.differ(variable_places(found)[MAX_VARIABLE:])

    def differ(self, places: Sequence[int]) -> None:
        """Lines differ in the words at some places."""
        fresh = [at for at in places if self.words[at] is not None]
        if fresh:
            changed = list(self.words)
            for at in fresh:
                changed[at] = None
            self.words, self._text = tuple(changed), None

    @property
    def text(self) -> str:
        """The pattern: what `|>` takes."""
        if self._text is None:
            self._text = join(tuple([WILD if word is None else word for word in self.words]), self.gaps).decode()
        return self._text


def variable_places(found: Words) -> list[int]:
    """Which words of a line are variable."""
    return [at for at, variable in enumerate(found.variable) if variable]


def _is_wild(word: bytes) -> bool:
    if word.isascii():
        return b"<" in word
    if b"<" in word:
        return True
    try:
        word.decode()
    except UnicodeDecodeError:
        return True
    return False


class _Node:
    __slots__ = ("children", "clusters")

    def __init__(self) -> None:
        self.children: dict[bytes | None, _Node] = {}
        self.clusters: list[Cluster] = []

    def step(self, key: bytes | None) -> _Node:
        """The branch of a key, made if there is room for it; else that of wildcards."""
        found = self.children.get(key)
        if found is None:
            if key is not None and len(self.children) >= MAX_CHILDREN - (None not in self.children):
                return self.step(None)
            found = self.children[key] = _Node()
        return found


class Tree:
    """The clusters of one group."""

    def __init__(self) -> None:
        self._roots: dict[tuple[bytes, ...], _Node] = {}
        self.clusters: dict[int, Cluster] = {}

    def leaf(self, found: Words) -> list[Cluster]:
        """The clusters among which a line's is."""
        node = self._roots.get(found.gaps)
        if node is None:
            node = self._roots[found.gaps] = _Node()
        for word, variable in zip(found.words[:DEPTH], found.variable, strict=False):
            node = node.step(None if variable else word)
        return node.clusters

    def match(self, leaf: list[Cluster], found: Words) -> Cluster | None:
        """The most similar cluster of a leaf, if one is similar enough."""
        best, most = None, SIMILAR
        for one in leaf:
            similarity = one.similarity(found)
            if similarity >= most and (best is None or similarity > most):
                best, most = one, similarity
        return best

    def put(self, leaf: list[Cluster], cluster: Cluster) -> None:
        """A new cluster."""
        leaf.append(cluster)
        self.clusters[cluster.number] = cluster

    def drop(self, numbers: set[int]) -> None:
        """Forgets clusters, and branches that lead to none."""
        for number in numbers:
            self.clusters.pop(number, None)
        self._roots = {gaps: node for gaps, node in self._roots.items() if _keep(node, numbers)}

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self.clusters.values())

    def __len__(self) -> int:
        return len(self.clusters)


def _keep(node: _Node, gone: set[int]) -> bool:
    """Takes clusters out below a node; whether anything is left. No deeper than DEPTH."""
    node.clusters = [one for one in node.clusters if one.number not in gone]
    node.children = {key: child for key, child in node.children.items() if _keep(child, gone)}
    return bool(node.clusters or node.children)
