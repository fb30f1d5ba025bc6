"""edge -> regional -> central: three servers, and the two wires between them."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.crash.forks import ForkedServer
from tests.crash.traffic import Connection
from tests.e2e.relay.wire import Fault, Wire
from tests.forks import Forks
from tests.server import wait_until

SETTINGS = {
    # Small enough that flushes, and rotations of the log, fall into each second of traffic.
    "memtable.size": "256KB",
    "wal.segment_size": "64KB",
    "wal.reserve": "256KB",
}
RELAYED = {
    "upstream.enabled": "true",
    "upstream.batch_size": "200",
    "upstream.batch_interval": "100ms",
    "upstream.timeout": "1s",
}
CONSTANTS: Mapping[str, object] = {
    # What would take a minute elsewhere is to be seen at once.
    "gateway.relay.backoff.FIRST": 0.05,
    "gateway.relay.backoff.MOST": 0.5,
    # On a slow machine a second is no time: a batch is not to be halved, as its halves have ids of their own.
    "gateway.relay.relay.TOO_SLOW": 1_000_000,
}
REGION = ("region", "north")
"""A label that the regional server puts on all that it sends on."""


class Chain:
    """Servers and wires, all of them up from `__enter__` on; a server's name is its folder and its instance's."""

    def __init__(self, forks: Forks, folder: Path, **settings: str) -> None:
        self.up, self.top = Wire(), Wire()
        self.edge = self._server(forks, folder / "edge", RELAYED | {"upstream.url": self.up.url} | settings)
        regional = {"upstream.url": self.top.url, "upstream.add_labels": "{{{}: {}}}".format(*REGION)}
        self.regional = self._server(forks, folder / "regional", RELAYED | regional | settings)
        self.central = self._server(forks, folder / "central", {})

    def _server(self, forks: Forks, data_dir: Path, settings: Mapping[str, str]) -> ForkedServer:
        every = {**SETTINGS, "instance_name": data_dir.name, **settings}
        flags = [word for name, value in every.items() for word in ("--set", f"{name}={value}")]
        return ForkedServer(forks, data_dir, *flags, constants=CONSTANTS)

    @property
    def servers(self) -> tuple[ForkedServer, ...]:
        return self.edge, self.regional, self.central

    @property
    def wires(self) -> tuple[Wire, ...]:
        return self.up, self.top

    def __enter__(self) -> Self:
        for server in reversed(self.servers):
            self.start(server)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        for server in self.servers:
            if kind is not None:
                print(f"--- log of {server.data_dir.name}\n{server.log_text}---")  # pytest shows it with the failure
            server.kill()
        for wire in self.wires:
            wire.close()

    def start(self, server: ForkedServer) -> None:
        """Starts a server; the wire to it leads to where it is now."""
        server.start()
        if server is self.central:
            self.top.to(server.url)
        elif server is self.regional:
            self.up.to(server.url)

    def restart(self, server: ForkedServer) -> None:
        """kill -9, and up again."""
        server.kill()
        self.start(server)

    def mend(self) -> None:
        """Wires carry everything and all servers are up."""
        for wire in self.wires:
            wire.suffer(Fault.NONE)
        for server in reversed(self.servers):
            if server.exit_code is not None:
                self.start(server)

    def drained(self, seconds: float = 60) -> bool:
        """Whether edge and regional came to have sent on all that they have."""

        def nothing_left() -> bool:
            return all(pending(server.url) == 0 for server in (self.edge, self.regional))

        # The regional server may get the last of the edge's after it was looked at.
        return wait_until(nothing_left, seconds) and wait_until(nothing_left, seconds)


def relay_status(url: str) -> dict[str, Any]:
    """GET /weir/v1/relay."""
    with Connection(url) as connection:
        found: dict[str, Any] = connection.get("/weir/v1/relay").json
        return found


def pending(url: str) -> int | None:
    """Records that a server has not sent on; None: it does not answer."""
    try:
        return sum(int(relay["records"]["pending"]) for relay in relay_status(url)["relays"])
    except (OSError, http.client.HTTPException):
        return None


def batches(url: str, **parameters: str) -> list[dict[str, Any]]:
    """GET /weir/v1/relay/batches."""
    with Connection(url) as connection:
        found: list[dict[str, Any]] = connection.get("/weir/v1/relay/batches", **parameters).json["batches"]
        return found
