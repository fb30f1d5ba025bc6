"""Rules that all parsers share: names and values of labels, which label wins, what an error leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterable

from logql import regex
from logql.literals import to_text
from logql.stages.hints import SUFFIX, Hints
from logql.stages.row import Row

JSON_ERROR = "JSONParserErr"
LOGFMT_ERROR = "LogfmtParserErr"

_BLANK = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Go's unicode.IsSpace."""
_NOT_IN_NAMES = re.compile("[^a-zA-Z0-9_]")
_UNKNOWN = "\ufffd"


def decode(raw: bytes) -> str:
    """A Go string as Go's `range` sees it: each byte that is not UTF-8 is U+FFFD."""
    return regex.replacing_decode(raw)


def name_part(key: bytes) -> str:
    """A key as a part of a label's name: blanks around it go, all but letters, digits and _ become _."""
    return _NOT_IN_NAMES.sub("_", decode(key).strip(_BLANK))


def join_name(parts: Iterable[str]) -> str:
    """The label's name that parts make: _ between them, empty ones left out, a _ before a digit at the beginning."""
    name = "_".join(filter(None, parts))
    return f"_{name}" if "0" <= name[:1] <= "9" else name


def label_name(key: bytes) -> str:
    """The label of a key, "" for one that is blank."""
    return join_name((name_part(key),))


def label_value(raw: bytes) -> str:
    """The value of a label that must be UTF-8: what is not, and U+FFFD itself, become spaces."""
    return decode(raw).replace(_UNKNOWN, " ")


def raw_value(raw: bytes) -> str:
    """The value of a label that holds a part of the line as it is."""
    return to_text(raw)


def free_name(row: Row, name: str) -> str:
    """The name under which a parser sets a label: `<name>_extracted` when the entry came with one of that name."""
    return name + SUFFIX if row.in_base(name) else name


def extract(row: Row, name: str, value: str, hints: Hints) -> bool:
    """Sets a label, unless it has been parsed before (the first one wins) or is not wanted.

    Returns:
        False when a filter on the label drops the line.
    """
    if row.was_set(name) or not hints.wants(name):
        return True
    row.set(name, value)
    return hints.passes(row, name)


def fail(row: Row, error: str, details: str, hints: Hints) -> None:
    """Sets the error of a parser. Without details those of an earlier error stay, as in Loki."""
    row.fail(error, details or row.details)
    row.preserve_error = row.preserve_error or hints.preserve_error
