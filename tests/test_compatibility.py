"""COMPATIBILITY.md and the LOKI-DIFF tags in the code speak of the same differences."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conformance.listed import FILE, read

ROOT = Path(__file__).parent.parent
MOST = 10
"""Differences on purpose that there may be."""

_ROW = re.compile(r"^\| (\d+) \|.*\|(.*)\|$", re.MULTILINE)
_THREAD = re.compile(r" \[([\w.-]+/[\w.-]+)#(\d+)\]\(https://github\.com/\1/(?:issues|pull)/\2\) \S.* ")
_TAG = re.compile(r"LOKI-DIFF\(([^)]*)\)")


def listed() -> dict[str, str]:
    """Number -> the cell that names the thread."""
    return dict(_ROW.findall((ROOT / "COMPATIBILITY.md").read_text()))


def tagged() -> set[str]:
    files = [path for package in ("gateway", "logql", "storage", "config") for path in (ROOT / package).rglob("*.py")]
    return {tag for path in files for tag in _TAG.findall(path.read_text())}


def test_every_tag_is_listed_and_every_listed_difference_is_tagged() -> None:
    assert tagged() == set(listed())


def test_there_are_few_differences_and_they_are_numbered_in_order() -> None:
    assert list(listed()) == [str(number + 1) for number in range(len(listed()))]
    assert len(listed()) <= MOST


def test_every_difference_names_a_thread_in_which_it_is_asked_for() -> None:
    assert [number for number, cell in listed().items() if not _THREAD.fullmatch(cell)] == []


def test_differences_named_elsewhere_are_listed() -> None:
    named = set(_TAG.findall((ROOT / "docs" / "settings.md").read_text()))
    named |= {tag for reason in read(FILE.read_text()).cases.values() for tag in _TAG.findall(reason)}
    assert named
    assert named <= set(listed())
