"""The pages of emitters and notifiers say what the models do, and what they show loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import load
from config.emitters import Emitter
from config.item_reference import tables_of, with_tables
from config.notify import EVENTS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("which", ["emitters", "notifiers"])
def test_the_tables_are_what_the_models_say(which: str) -> None:
    page = (DOCS / f"{which}.md").read_text(encoding="utf-8")
    told = f"run: python -m config.item_reference docs/{which}.md"
    assert with_tables(page, which) == page, told
    for table in tables_of(which).values():
        assert table in page, told


@pytest.mark.parametrize(("which", "kinds"), [("emitters", ["file", "stdout", "loki"]), ("notifiers", None)])
def test_the_example_loads(tmp_path: Path, which: str, kinds: list[str] | None) -> None:
    example = tmp_path / "example.yml"
    page = (DOCS / f"{which}.md").read_text(encoding="utf-8")
    example.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    settings = load(example).settings
    if kinds:
        found: tuple[Emitter, ...] = settings.emitters
        assert [one.kind for one in found] == kinds
    else:
        assert [one.label() for one in settings.notify] == ["pagerduty", "slack", "ops"]


def test_every_event_is_told_of() -> None:
    page = (DOCS / "notifiers.md").read_text(encoding="utf-8")
    for event in EVENTS:
        assert f"| `{event}` |" in page
