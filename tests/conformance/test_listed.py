"""The list of failures can only shrink, and the table is made of it."""

from __future__ import annotations

import re

import pytest

from tests.conformance.asking import Outcome
from tests.conformance.cases import areas, cases
from tests.conformance.listed import FILE, Listed, read, surprises
from tests.conformance.table import BEGIN, END, in_document, plain, rows, section, with_section

PUSH = cases("push")[:3]
LATER = re.compile(r"/loki/api/v1/(detected_|patterns|delete)")
"""Endpoints that are not there yet."""


def test_a_failure_that_is_not_listed_and_a_pass_that_is_are_surprises() -> None:
    listed = read(f"{PUSH[0].id} later\n{PUSH[1].id} later\n")
    outcomes = [Outcome(PUSH[0], "status 500"), Outcome(PUSH[1], None), Outcome(PUSH[2], "status 400")]
    found = surprises(listed, outcomes)
    assert len(found) == 2
    assert found[0] == f"{PUSH[1].id} passes: remove it from listed-failures.txt"
    assert found[1].startswith(f"{PUSH[2].id} POST /loki/api/v1/push")
    assert found[1].endswith("status 400")
    assert surprises(listed, [outcomes[0]]) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{PUSH[0].id}", "has no reason"),
        (f"{PUSH[0].id} x\n{PUSH[0].id} x", "listed twice"),
        ("push-999 x", "not recorded"),
        ("area:nothing x", "not recorded"),
        ("area:push x", "can be run"),
    ],
)
def test_a_list_that_says_too_little_or_too_much_is_refused(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        read(text)


def test_the_table_counts_and_gives_reasons() -> None:
    listed = read(f"# why\n{PUSH[0].id} later\n{PUSH[1].id} later\narea:logcli needs more\n")
    table = {row.area: row for row in rows(listed, {PUSH[0].id, PUSH[1].id, PUSH[2].id})}
    total = len(cases("push"))
    assert (table["push"].passed, table["push"].total, table["push"].note) == (total - 3, total, "later (2)")
    assert (table["logcli"].passed, table["logcli"].note) == (None, "not run: needs more")
    everything = sum(len(cases(area)) for area in areas() if area != "logcli")
    assert f"| **all that are run** | **{everything - 3}/{everything}** |" in section(list(table.values()))
    assert f"{total - 3}/{total}  later (2)\n" in plain(list(table.values()))


def test_the_section_of_a_document_is_replaced_and_nothing_else() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_section(document, "new\nlines") == f"before\n{BEGIN}\nnew\nlines\n{END}\nafter\n"
    assert in_document(document) == "old"
    with pytest.raises(ValueError, match="substring"):
        with_section("no marks", "new")


def test_listing_nothing_means_that_all_is_run() -> None:
    assert Listed({}, {}).run == list(areas())


def test_only_what_asks_for_later_endpoints_is_listed_and_differences_on_purpose() -> None:
    listed = read(FILE.read_text("utf-8"))
    known = {case.id: case for area in areas() for case in cases(area)}
    others = [
        name
        for name, reason in listed.cases.items()
        if known[name].is_http
        and not LATER.match(known[name].request["path"])
        and not re.match(r"LOKI-DIFF\(\d+\): ", reason)
    ]
    assert others == []
