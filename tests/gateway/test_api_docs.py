"""docs/api.md names every route, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.app import routes

PAGE = Path(__file__).parent.parent.parent / "docs" / "api.md"
ROW = re.compile(r"^\| `(/[^`]*)` \| ([A-Z ]+) \|", re.MULTILINE)


def test_every_route_is_on_the_page_with_its_methods() -> None:
    said = {path: set(methods.split()) for path, methods in ROW.findall(PAGE.read_text("utf-8"))}
    assert said == {route.path: set(route.methods or ()) for route in routes()}
