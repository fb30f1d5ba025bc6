"""The recorded data that tests of the language read: the conformance dataset, queries and their answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
DATASET = Path(__file__).parents[1] / "conformance" / "dataset" / "dataset.jsonl"


def recorded_cases() -> list[dict[str, Any]]:
    """The recorded log queries, with their answers or errors."""
    return json_lines(DATA / "recorded.jsonl")


def json_lines(path: Path) -> list[Any]:
    """The values of a JSON lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
