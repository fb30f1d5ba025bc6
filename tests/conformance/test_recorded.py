"""A server with Loki's own settings file gives a real Loki's answers, with the data in memory and in blocks alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conformance.answers import Answer, cases, difference, load, send
from tests.server import running_server

LOKI_FILE = Path(__file__).parent.parent / "config" / "fixtures" / "loki.yaml"
READ = ("selectors", "line_filters", "pattern_filter", "api_series", "api_status")
"""Areas that do not write."""


@pytest.fixture(scope="module", params=["in memory", "in blocks"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data_dir = tmp_path_factory.mktemp("conformance") / "data"
    with (
        running_server(data_dir, "--config", str(LOKI_FILE), "--set", "log.level=info") as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        load(client)
        if request.param == "in blocks":
            client.post("/flush").raise_for_status()
        yield client


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data_dir = tmp_path_factory.mktemp("conformance-push") / "data"
    with (
        running_server(data_dir, "--config", str(LOKI_FILE), "--set", "log.level=info") as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
    ):
        yield client


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for area in READ for case in cases(area)])
def test_a_read_answers_as_recorded(reader: httpx.Client, case: dict[str, Any]) -> None:
    assert difference(case, send(reader, case)) is None


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in cases("push")])
def test_a_push_answers_as_recorded(writer: httpx.Client, case: dict[str, Any]) -> None:
    for request in case.get("setup", []):
        assert send(writer, request).status == 204
    assert difference(case, send(writer, case)) is None


def test_the_comparison_can_fail() -> None:
    case = cases("push")[0]
    recorded = case["expect"]
    for field, other in (("status", 599), ("content_type", "other/type"), ("text", "other")):
        changed = {**case, "expect": {**recorded, field: other}}
        assert difference(changed, Answer(recorded["status"], recorded["content_type"], recorded["text"]))
