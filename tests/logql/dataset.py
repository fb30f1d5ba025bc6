"""The conformance dataset as entries that a push has normalised, for queries whose answers Loki recorded.

The labels that Loki's push adds are given here in the simplest way: service_name by its rule, detected_level as the
recorded answers themselves show it (deriving it is the push door's job, and is tested there).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from storage.batch import Labels
from tests.logql.memory_source import Stored

DATA = Path(__file__).parent / "data"
DATASET = Path(__file__).parents[1] / "conformance" / "dataset" / "dataset.jsonl"

SERVICE_LABELS = """
    service app application app_name name app_kubernetes_io_name container container_name k8s_container_name component
    workload job k8s_job_name
"""


def recorded_cases() -> list[dict[str, Any]]:
    """The recorded queries of this language subset, with their answers."""
    return json_lines(DATA / "recorded.jsonl")


def json_lines(path: Path) -> list[Any]:
    """The values of a JSON lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def dataset(cases: Iterable[dict[str, Any]]) -> list[Stored]:
    """Every distinct entry of the dataset in order of arrival."""
    levels = _recorded_levels(cases)
    entries: dict[Stored, None] = {}
    for request in json_lines(DATASET):
        for stream in request["body"]["streams"]:
            labels = _with_service_name(stream["stream"])
            for ts, line, *extra in stream["values"]:
                metadata = _normalised(extra[0] if extra else {})
                level = levels.get((ts, line))
                if level is not None:
                    metadata["detected_level"] = level
                pairs = tuple((name, metadata[name].encode()) for name in sorted(metadata))
                entries[Stored(labels, int(ts), line.encode("utf-8", "surrogatepass"), pairs)] = None
    return list(entries)


def _with_service_name(stream: dict[str, str]) -> Labels:
    labels = {name: value for name, value in stream.items() if value}
    if "service_name" not in labels:
        found = [labels[name] for name in SERVICE_LABELS.split() if name in labels]
        labels["service_name"] = found[0] if found else "unknown_service"
    return tuple(sorted(labels.items()))


def _normalised(metadata: dict[str, str]) -> dict[str, str]:
    return {re.sub("_+", "_", re.sub("[^a-zA-Z0-9_]", "_", name)): value for name, value in metadata.items()}


def _recorded_levels(cases: Iterable[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """(ts, line) -> detected_level, from every answer that shows the entry."""
    levels = {}
    for case in cases:
        for group in case.get("result", []):
            for ts, line, *extra in group["values"]:
                shown = group["stream"] | (extra[0].get("structuredMetadata", {}) if extra else {})
                if "detected_level" in shown:
                    levels[ts, line] = shown["detected_level"]
    return levels
