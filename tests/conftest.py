"""Settings of every test, and which files come first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast an input is made or a test runs says something about the machine, and nothing about Weir.
settings.register_profile("weir", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("weir")

LONG = (
    *("crash/test_steps.py", "conformance/test_recorded.py", "crash/test_deletes.py", "storage/test_backup.py"),
    *("gateway/test_openapi_answers.py", "gateway/test_bad_input.py", "gateway/test_serve.py", "logql/test_parser.py"),
    *("logql/columns/test_plan.py", "storage/test_streams.py", "gateway/export/test_export.py"),
    *("gateway/forward/test_mapping_kernels.py", "crash/test_disk_full_everywhere.py", "crash/test_forward_chunks.py"),
    *("crash/test_kill_rounds.py", "crash/test_compaction_kills.py", "crash/test_retention_kills.py"),
)
"""Files that take longest, to be begun first: one of them alone at the end would keep the other processes waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))
