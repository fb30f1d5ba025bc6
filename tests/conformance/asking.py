"""Sending recorded requests."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.conformance.cases import Case
from tests.conformance.comparison import Answer, Differs, compare
from tests.conformance.tailing import tail_as_recorded


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went.

    Attributes:
        error: how the answer differs from the recorded one; None if it does not.
        reformatted: numbers that are equal and written otherwise.
    """

    case: Case
    error: str | None
    reformatted: int = 0


def ask(client: httpx.Client, case: Case) -> Outcome:
    """Sends the requests of a case and compares the answer."""
    if not case.is_http and not case.is_tail:
        return Outcome(case, "no request")
    try:
        if case.is_tail:
            tail_as_recorded(client, case)
            return Outcome(case, None)
        for request in case.setup:
            made = send(client, request)
            if made.status // 100 != 2:
                return Outcome(case, f"a request before it was answered {made.status}: {made.text[:200]}")
        return Outcome(case, None, compare(case, send(client, case.request)))
    except (Differs, httpx.HTTPError) as error:
        return Outcome(case, f"{type(error).__name__}: {error}")


def send(client: httpx.Client, request: Mapping[str, Any]) -> Answer:
    """Sends a recorded request; no redirect is followed."""
    body, headers = _body(request.get("body"))
    url = request["path"] + ("?" + _form(request["params"]) if request.get("params") else "")
    answer = client.request(
        request.get("method", "GET"),
        url,
        headers={**headers, **(request.get("headers") or {})},
        content=body,
    )
    text = answer.content.decode("utf-8", "replace")
    return Answer(answer.status_code, answer.headers.get("content-type", ""), text)


def _form(params: Mapping[str, Any]) -> str:
    return urlencode(params, doseq=True)


def _body(body: Any) -> tuple[bytes | None, dict[str, str]]:
    """A recorded body as bytes, and the headers that come with its kind."""
    if body is None:
        return None, {}
    if isinstance(body, str):
        return body.encode(), {}
    if "form" in body:
        return _form(body["form"]).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    if "json" in body:
        return json.dumps(body["json"], ensure_ascii=False).encode(), {"Content-Type": "application/json"}
    if "b64" in body:
        return base64.b64decode(body["b64"]), {}
    return gzip.decompress(base64.b64decode(body["gz_b64"])), {}
