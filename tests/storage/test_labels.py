from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.batch import Labels
from storage.labels import labels_id, labels_text, quote, salted_id

CASES = Path(__file__).with_name("data") / "quote.jsonl"
QUOTED = [json.loads(line) for line in CASES.read_text("utf-8").split("\n") if line]


@pytest.mark.parametrize(("value", "quoted"), QUOTED, ids=range(len(QUOTED)))
def test_values_are_quoted_as_go_does(value: str, quoted: str) -> None:
    assert quote(value) == quoted


@given(st.text())
def test_a_quoted_value_is_one_line_that_tells_the_value(value: str) -> None:
    quoted = quote(value)
    assert quoted[1:-1].isprintable()
    back = quoted[1:-1].encode("utf-8").decode("utf-8")
    escaped = back.encode("ascii", "backslashreplace").decode("ascii")
    assert escaped.encode("ascii").decode("unicode_escape") == value


def test_the_text_of_a_label_set_is_as_loki_prints_it() -> None:
    assert labels_text(()) == "{}"
    assert labels_text((("app", "a b"), ("env", 'x"y'))) == '{app="a b", env="x\\"y"}'


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        ((), 0xEF46DB3751D8E999),  # xxHash64 of nothing
        ((("app", "api"),), 0x49BBF3E3C0A36D71),
        ((("app", "api"), ("env", "prod")), 0x5FD68E2544215F6C),
    ],
)
def test_ids_are_those_on_users_disks(labels: Labels, number: int) -> None:
    assert labels_id(labels) == number


def test_a_salted_id_differs_from_the_plain_one_and_by_salt() -> None:
    labels = (("app", "api"),)
    assert len({labels_id(labels), salted_id(labels, 1), salted_id(labels, 2)}) == 3
