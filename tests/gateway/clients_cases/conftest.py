"""One server with the data of the cases, half of it in blocks, for all files of this folder."""

from __future__ import annotations

from collections.abc import Iterator

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
        for part in (data[::2], data[1::2]):
            assert connection.post("/loki/api/v1/push", json={"streams": part}).status_code == 204
            if part is not data:
                connection.post("/flush").raise_for_status()
        yield connection
