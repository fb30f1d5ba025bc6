"""A line as words and what stands between them: the short form, and the oracle of logql/kernels/line_shapes.py.

Delimiters are white space and the punctuation that Loki's patterns are cut at: ASCII's, and `=`, but for `_ - . : /`.
As a word never holds a delimiter, and lines of one pattern have all delimiters in common, a pattern's literals can be
found in a line in one way only: that is why `|>` with it finds every line that it stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from logql.kernels.line_shapes import MAX_LINE, MAX_WORDS, MIN_TOKENS, PUNCTUATION, SPACE

WILD = b"<_>"

_WORD = re.compile(rb"[^" + re.escape(SPACE + PUNCTUATION) + rb"]+")
_is_variable = re.compile(rb"[0-9<]").search


@dataclass(frozen=True, slots=True)
class Words:
    """A line in pieces.

    Attributes:
        words: k of them.
        gaps: k + 1 runs of delimiters around them; only the first and the last may be empty.
        variable: of each word, whether it is likely to differ from line to line.
    """

    words: tuple[bytes, ...]
    gaps: tuple[bytes, ...]
    variable: tuple[bool, ...]


def split(line: bytes) -> Words:
    """The words of a line. Variable are those with a digit, or with `<`, which beside `>` would be a named capture."""
    words = tuple(_WORD.findall(line))
    return Words(words, tuple(_WORD.split(line)), tuple([_is_variable(word) is not None for word in words]))


def join(words: tuple[bytes, ...], gaps: tuple[bytes, ...]) -> bytes:
    """The line of words and gaps."""
    return b"".join([part for pair in zip(gaps, (*words, b""), strict=True) for part in pair])


def has_pattern(line: bytes) -> bool:
    """Whether a line is neither too long nor too short for a pattern."""
    if len(line) > MAX_LINE:
        return False
    found = split(line)
    tokens = len(found.words) + sum(len(gap.translate(None, SPACE)) for gap in found.gaps)
    return tokens >= MIN_TOKENS and 0 < len(found.words) <= MAX_WORDS


def shape(line: bytes) -> tuple[tuple[bytes | None, ...], tuple[bytes, ...]]:
    """What lines that differ only in their variable words have in common: words, None for those, and gaps."""
    found = split(line)
    words = [None if variable else word for word, variable in zip(found.words, found.variable, strict=True)]
    return tuple(words), found.gaps
