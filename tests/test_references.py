"""What is written here refers to nothing that a reader does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("bench", "charts", "config", "docs", "gateway", "logql", "storage", "tests")
SUFFIXES = {".lark", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}
NOT_OURS = {"node_modules", "__pycache__", "dataset"}
PAPERS = ("LOKI", "CLIENTS", "FLUENT", "USERS", "DESIGN", "STYLE")
"""Working papers that are no part of the repository: a fact of one is stated, or its public source is named."""
REFERENCE = re.compile(rf"\b(?:{'|'.join(PAPERS)})(?:\.md\b| [0-9])")


def files() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SUFFIXES and NOT_OURS.isdisjoint(path.parts):
                yield path


def test_no_text_refers_to_a_paper_that_is_not_here() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if REFERENCE.search(line)
    }
    assert not found


def test_the_search_finds_what_it_looks_for() -> None:
    assert len(list(files())) > 300
    for text in (f"(see {PAPERS[0]}.md 3.2)", f"{PAPERS[4]} 4", f"{PAPERS[1]}.md"):
        assert REFERENCE.search(text)
    for text in ("DESIGNED 4", "LOKI-DIFF(4)", "loki.md"):
        assert not REFERENCE.search(text)
