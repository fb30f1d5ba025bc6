"""Asking the recorded cases of live tail: a websocket, a push while it is open, and all that came."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from tests.conformance.cases import Case
from tests.conformance.comparison import Differs
from tests.websocket import Socket

LINGER = 0.3
"""Seconds in which nothing more may come."""


def tail_as_recorded(client: httpx.Client, case: Case) -> None:
    """Opens the tail of a case, pushes what it says and looks at what came within the recorded seconds.

    Raises:
        Differs: another status or other lines.
        httpx.HTTPError: a push failed.
    """
    request, expect = case.request, case.expect
    params = {name: str(value) for name, value in request.get("params", {}).items()}
    with Socket(str(client.base_url), request["path"], params) as tail:
        if tail.status != expect["status"]:
            raise Differs(f"status {tail.status}, not {expect['status']}")
        if tail.status != 101:
            return
        for push in request.get("push", ()):
            client.post("/loki/api/v1/push", json={"streams": list(map(_now, push["streams"]))}).raise_for_status()
        wanted = Counter(
            {(_text(each["stream"]), _text(line)): 1 for each in expect["streams"] for line in each["lines"]}
        )
        tail.read_until(lambda: _came(tail).total() >= wanted.total(), request["seconds"])
        tail.read_until(lambda: False, LINGER)
        if _came(tail) != wanted:
            raise Differs(f"tail: {dict(_came(tail))}, not {dict(wanted)}")


def _now(stream: Mapping[str, Any]) -> dict[str, Any]:
    now = time.time_ns()
    return {**stream, "values": [[str(now + place), *value] for place, value in enumerate(stream["values"])]}


def _came(tail: Socket) -> Counter[tuple[str, str]]:
    """Label sets, and all of each line but its time."""
    return Counter(
        (_text(stream["stream"]), _text(value[1:]))
        for frame in tail.frames
        for stream in frame["streams"]
        for value in stream["values"]
    )


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
