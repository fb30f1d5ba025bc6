"""A client that pushes all the time and knows each line that it got acknowledged, and what a server has of them."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

from tests.crash.traffic import PAGE, Connection
from tests.server import wait_until

Entry: TypeAlias = tuple[frozenset[tuple[str, str]], int, str, frozenset[tuple[str, str]]]
"""Labels, ns, line and structured metadata: all that an entry is."""
SELECTOR = '{job="chain"}'
PACE = 0.01
"""Seconds between two pushes: traffic that leaves the machine to the relays."""


class Sender:
    """Pushes to a server that may die at any time; each batch under its id until it is acknowledged.

    No two lines, of any sender of a chain, have the same time.

    Args:
        number: of this sender, among `of`.
        url: where the server is now.
        first_ts: ns; all lines are later.
        seed: of what is sent.
    """

    def __init__(self, number: int, of: int, url: Callable[[], str], first_ts: int, seed: int) -> None:
        self.acknowledged: set[Entry] = set()
        self.faults: list[str] = []
        self._number, self._of, self._url, self._first_ts = number, of, url, first_ts
        self._random = Random(seed * 1000 + number)
        self._count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sender-{number}")
        self._thread.start()

    def finish(self) -> None:
        """Ends when what is open is acknowledged."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            entries = [self._entry() for _ in range(self._random.choice((1, 2, 5, 20, 80)))]
            batch_id = UUID(int=self._random.getrandbits(128))
            body = _body(entries)
            if not wait_until(partial(self._push, body, batch_id), 120):
                self.faults.append("a push was not acknowledged for two minutes")
                return
            self.acknowledged.update(entries)
            time.sleep(PACE)

    def _push(self, body: bytes, batch_id: UUID) -> bool:
        url = self._url()
        if not url:
            return False  # it is starting
        try:
            with Connection(url) as connection:
                answer = connection.push(body, {"X-Weir-Batch-Id": str(batch_id)})
        except (OSError, http.client.HTTPException):
            return False  # it was killed, or is on its way back
        if answer.status not in (200, 204, 503):
            self.faults.append(f"{answer.status}: {answer.text}")
        return answer.status in (200, 204)

    def _entry(self) -> Entry:
        self._count += 1
        random = self._random
        app = f"app{random.randrange(4)}"
        labels = {"app": app, "service_name": app, "job": "chain", "sender": str(self._number)}
        text = f"sender {self._number} line {self._count} é " + "x" * random.randrange(150)
        metadata = {"order": str(self._count)} if random.random() < 0.3 else {}
        ts = self._first_ts + self._count * self._of + self._number
        return frozenset(labels.items()), ts, text, frozenset(metadata.items())


def _body(entries: list[Entry]) -> bytes:
    streams: dict[frozenset[tuple[str, str]], list[list[Any]]] = {}
    for labels, ts, text, metadata in entries:
        streams.setdefault(labels, []).append([str(ts), text, dict(metadata)])
    pushed = [{"stream": dict(labels), "values": values} for labels, values in streams.items()]
    return json.dumps({"streams": pushed}).encode()


def read_entries(url: str, start: int, end: int, selector: str = SELECTOR) -> Counter[Entry]:
    """Every entry in start <= ts < end (ns), page by page; no two may have the same time."""
    found: Counter[Entry] = Counter()
    asked = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
    with Connection(url) as connection:
        while True:
            parameters = {"query": selector, "start": start, "end": end, "limit": PAGE, "direction": "forward"}
            answer = connection.ask("GET", f"/loki/api/v1/query_range?{urlencode(parameters)}", headers=asked)
            page = [
                (frozenset(stream["stream"].items()), int(ts), text, _metadata(more))
                for stream in answer.json["data"]["result"]
                for ts, text, more in stream["values"]
            ]
            found.update(page)
            if len(page) < PAGE:
                return found
            start = max(ts for _, ts, _, _ in page) + 1


def _metadata(more: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset(more.get("structuredMetadata", {}).items())
