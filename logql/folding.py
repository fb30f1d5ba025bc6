"""What `(?i)` means for a plain text in a line filter.

Loki does not run such a regex: it lower-cases the text and the line, character by character, and looks for a substring.
That differs from RE2's case folding for a few letters (an i also finds the Turkish dotted capital, an s does not find
the long s), and the recorded answers show it.
"""

from __future__ import annotations

from functools import cache

_LAST_CASED = 0x1F000
"""No character from here on has case."""


def lower_case_regex(text: str) -> str:
    """A regex that matches where the lower-cased line has the lower-cased `text`, which has no regex syntax in it."""
    return "".join(map(_class_of, text))


def _class_of(char: str) -> str:
    same = _spellings().get(_lower(_smallest(char)), ())
    return f"[{''.join(sorted(same))}]" if len(same) > 1 else char


def _lower(char: str) -> str:
    """Go's unicode.ToLower: one character for one, where Python's may give two."""
    lower = char.lower()
    return lower if len(lower) == 1 else lower[0]


def _smallest(char: str) -> str:
    """The first of all characters that fold to the same, which Go's regex parser puts in a literal's place."""
    return min(_folded().get(char.casefold(), [char]))


@cache
def _spellings() -> dict[str, list[str]]:
    """Lower-case character -> all whose lower case it is."""
    found: dict[str, list[str]] = {}
    for char in map(chr, range(_LAST_CASED)):
        if _lower(char) != char:
            found.setdefault(_lower(char), [_lower(char)]).append(char)
    return found


@cache
def _folded() -> dict[str, list[str]]:
    """Folded character -> all that fold to it."""
    found: dict[str, list[str]] = {}
    for char in map(chr, range(_LAST_CASED)):
        if len(char.casefold()) == 1:
            found.setdefault(char.casefold(), []).append(char)
    return found
