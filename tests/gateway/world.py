"""One gateway over a store in memory, asked through ASGI."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from starlette.applications import Starlette

from config import Settings
from gateway.app import create_app
from gateway.metrics import Metrics
from gateway.push.streams import TenantStreams
from gateway.query.pool import QueryPool
from gateway.state import ByteBudget, Gateway
from tests.gateway.fake_store import FakeStore


class World:
    """An app, what it stands on, and a client for it."""

    def __init__(self, settings: Settings) -> None:
        self.store = FakeStore()
        self.gateway = Gateway(
            settings=settings,
            metrics=Metrics("1.2.3"),
            stream_states=TenantStreams(),
            queries=QueryPool(settings.query.threads, settings.query.max_concurrent),
            ingest=ByteBudget(settings.server.ingest_in_flight, settings.server.push_wait / 1e9),
        )
        self.gateway.metrics.attach(self.gateway)
        self.gateway.opened(self.store)
        self.app: Starlette = create_app(self.gateway)

    def ask(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """One request, on an event loop of its own."""

        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://weir") as client:
                return await client.request(method, path, **kwargs)

        return asyncio.run(main())

    def get(self, path: str, **params: Any) -> httpx.Response:
        """A GET with URL parameters."""
        return self.ask("GET", path, params=params)

    def metric(self, sample: str) -> float:
        """The value of a sample of /metrics, named with its labels; 0 if it is not there."""
        for line in self.get("/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return 0.0
