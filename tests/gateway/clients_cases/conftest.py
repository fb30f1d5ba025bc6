"""One server with the data of the cases, half of it in blocks, for all files of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.clients_cases.cases import streams
from tests.server import running_server


@pytest.fixture(scope="package")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A connection to it. Tests do not write to streams that others ask for."""
    with (
        running_server(tmp_path_factory.mktemp("clients") / "data") as server,
        httpx.Client(base_url=server.url, timeout=60) as connection,
    ):
        data = streams()
        push(connection, data[::2])
        connection.post("/flush").raise_for_status()
        push(connection, data[1::2])
        yield connection


def push(connection: httpx.Client, data: list[dict[str, Any]]) -> None:
    assert connection.post("/loki/api/v1/push", json={"streams": data}).status_code == 204
