"""COMPATIBILITY.md and the LOKI-DIFF tags in the code speak of the same differences."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def listed() -> set[str]:
    return set(re.findall(r"^\| (\d+) \|", (ROOT / "COMPATIBILITY.md").read_text(), re.MULTILINE))


def tagged() -> set[str]:
    files = [path for package in ("gateway", "logql", "storage", "config") for path in (ROOT / package).rglob("*.py")]
    return {tag for path in files for tag in re.findall(r"LOKI-DIFF\(([^)]*)\)", path.read_text())}


def test_every_tag_is_listed_and_every_listed_difference_is_tagged() -> None:
    assert tagged() == listed()
