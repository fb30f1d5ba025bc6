"""A server answers as gateway/openapi.yaml says, whatever it is asked: statuses, content types, JSON; never 5xx."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server import ServerProcess, running_server

FILE = Path(__file__).parent.parent.parent / "gateway" / "openapi.yaml"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 6
"""Of each operation, besides those of the file."""


@schemathesis.serializer("application/x-protobuf", "application/x-ndjson")
def as_it_is(_: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


schema = schemathesis.openapi.from_path(FILE)
# Each boundary of each parameter would be thousands of requests more.
schema.config.phases.coverage.enabled = False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("openapi") / "data") as running:
        now = time.time_ns()
        values = [[str(now - at * 10**6), json.dumps({"level": "info", "n": at}), {"trace": "7"}] for at in range(100)]
        body = {"streams": [{"stream": {"app": "web", "level": "info"}, "values": values}]}
        httpx.post(f"{running.url}/loki/api/v1/push", json=body).raise_for_status()
        yield running


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
def test_the_answer_is_one_that_is_described(case: schemathesis.Case[Any], server: ServerProcess) -> None:
    case.call_and_validate(base_url=server.url, checks=CHECKS)
