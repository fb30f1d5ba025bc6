"""GET /openapi.yaml: this server's API, for tools that make clients or requests of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import Scope, ScopedRoute, route

FILE = Path(__file__).parent / "openapi.yaml"


def description_routes() -> list[ScopedRoute]:
    """The route of this file. With auth.enabled it wants a key as everything does but /ready and /health."""
    return [route("/openapi.yaml", openapi, ["GET"], Scope.STATUS, by_tenant=True)]


async def openapi(_: Request) -> Response:
    """The description."""
    return Response(await anyio.to_thread.run_sync(_read), media_type="application/yaml")


@lru_cache(maxsize=1)
def _read() -> bytes:
    return FILE.read_bytes()
