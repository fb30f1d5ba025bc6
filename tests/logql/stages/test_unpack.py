from __future__ import annotations

from typing import Any

import pytest

from logql.stages.hints import Hints
from tests.logql.stages.parsing import check, new_row, parser, recorded


@pytest.mark.parametrize("case", recorded("unpack"), ids=lambda case: f"{case['line'][:60]}")
def test_a_line_comes_out_as_loki_unpacked_it(case: dict[str, Any]) -> None:
    check(case)


def unpacked(line: bytes, stream: dict[str, str] | None = None) -> tuple[dict[str, str], bytes]:
    row = new_row(line, stream or {}, {})
    assert parser("| unpack").apply(row)
    return row.labels(), row.line


def error(details: str) -> dict[str, str]:
    return {"__error__": "JSONParserErr", "__error_details__": details}


LINES = [
    (b'{"_entry":"x\\ny\xff","a":"1"}', {"a": "1"}, b"x\ny\xff"),
    (b'{"a":"1","_entry":""}', {"a": "1"}, b""),
    (b'{"a b":"1","1":"\\x","n":1,"_entry":"x"} more', {"a_b": "1", "_1": ""}, b"x"),
    (b'{"a":"1","a":"2","_entry":"x"}', {"a": "2"}, b"x"),
    (b'{"":"1"," ":"2","_entry":"x"}', {}, b"x"),
    (b'{"a":{"b":"c"},"_entry":"x"}', {}, b"x"),
    (b'{"a":"1","_entry":5}', {}, None),
    (b"", {}, None),
    (b' {"_entry":"x"}', error("expecting json object(6), but it is not"), None),
    (b'{"_entry":"\\x"}', error("Encountered an invalid escape sequence in a string"), None),
    (b'{"_entry":"x","a":"1"', error("Value is array, but can't find closing ']' symbol"), None),
]


@pytest.mark.parametrize(("line", "labels", "entry"), LINES)
def test_strings_become_labels_when_there_is_an_entry(line: bytes, labels: dict[str, str], entry: bytes | None) -> None:
    assert unpacked(line) == (labels, line if entry is None else entry)


def test_names_are_compared_before_they_are_sanitised() -> None:
    labels, _ = unpacked(b'{"a":"1","a_b":"2","a b":"3","_entry":"x"}', {"a": "s", "a_b": "s"})
    assert labels == {"a": "s", "a_extracted": "1", "a_b": "3", "a_b_extracted": "2"}


def test_hints_are_kept() -> None:
    class Never:
        def apply(self, row: Any) -> bool:
            del row
            return False

    line = b'{"a":"1","b":"2","_entry":"x"}'
    row = new_row(line, {}, {})
    assert not parser("| unpack", Hints(filters={"a": Never()})).apply(row)
    assert (row.labels(), row.line) == ({"a": "1"}, b"x")
    row = new_row(line, {}, {})
    assert parser("| unpack", Hints(no_labels=True)).apply(row)
    assert (row.labels(), row.line) == ({}, line)
    row = new_row(line, {}, {})
    assert parser("| unpack", Hints(required=frozenset({"b"}))).apply(row)
    assert (row.labels(), row.line) == ({"b": "2"}, b"x")
