"""Recorded requests and answers of a real Loki: sending one, and telling how an answer differs from it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

HERE = Path(__file__).parent
PLACEHOLDERS: dict[str, tuple[type, ...]] = {
    "<<any>>": (object,),
    "<<string>>": (str,),
    "<<number>>": (int, float),
    "<<object>>": (dict,),
    "<<array>>": (list,),
    "<<bool>>": (bool,),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    content_type: str
    text: str


def cases(area: str) -> list[dict[str, Any]]:
    """The recorded cases of an area."""
    return [json.loads(line) for line in (HERE / "cases" / f"{area}.jsonl").read_text().split("\n") if line]


def load(client: httpx.Client) -> None:
    """Pushes the data set that the answers are about."""
    for line in filter(None, (HERE / "dataset" / "dataset.jsonl").read_text().split("\n")):
        request = json.loads(line)
        body = json.dumps(request["body"], ensure_ascii=False).encode()
        client.post(request["path"], content=body, headers=request["headers"]).raise_for_status()


def send(client: httpx.Client, request: dict[str, Any]) -> Answer:
    """Sends a recorded request."""
    body, headers = _body(request.get("body"))
    url = request["path"]
    if request.get("params"):
        url += "?" + urlencode(
            [(k, x) for k, v in request["params"].items() for x in (v if isinstance(v, list) else [v])]
        )
    answer = client.request(
        request.get("method", "GET"), url, headers={**headers, **(request.get("headers") or {})}, content=body
    )
    text = answer.content.decode("utf-8", "replace")
    return Answer(answer.status_code, answer.headers.get("content-type", ""), text)


def _body(body: Any) -> tuple[bytes | None, dict[str, str]]:
    if body is None:
        return None, {}
    if isinstance(body, str):
        return body.encode(), {}
    if "form" in body:
        return urlencode(body["form"], doseq=True).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    if "b64" in body:
        return base64.b64decode(body["b64"]), {}
    return gzip.decompress(base64.b64decode(body["gz_b64"])), {}


def difference(case: dict[str, Any], answer: Answer) -> str | None:
    """What is wrong with the answer; None if nothing."""
    expected = case["expect"]
    statuses = expected["status"] if isinstance(expected["status"], list) else [expected["status"]]
    if answer.status not in statuses:
        return f"status {answer.status}, expected {statuses}: {answer.text[:300]}"
    wanted_type = expected.get("content_type", answer.content_type)
    if wanted_type.lower().replace(" ", "") != answer.content_type.lower().replace(" ", ""):
        return f"content type {answer.content_type!r}, expected {wanted_type!r}"
    if "text" in expected and expected["text"] != answer.text:
        return f"text {answer.text!r}, expected {expected['text']!r}"
    if "text_regex" in expected and not re.fullmatch(expected["text_regex"], answer.text, re.DOTALL):
        return f"text {answer.text!r}, expected to match {expected['text_regex']!r}"
    if "json" in expected:
        return _unlike("$", _ordered(expected["json"], case), _ordered(json.loads(answer.text), case))
    return None


def _ordered(value: Any, case: dict[str, Any]) -> Any:
    """The document with lists sorted whose order the server may choose."""
    if isinstance(value, list) and case.get("compare", {}).get("unordered"):
        return sorted((_ordered(item, case) for item in value), key=_text)
    if isinstance(value, dict):
        if "resultType" in value and isinstance(value.get("result"), list):
            groups = value["result"] if case.get("compare", {}).get("ordered") else sorted(value["result"], key=_text)
            return {**value, "result": [_entries(group, case) for group in groups]}
        return {key: _ordered(item, case) for key, item in value.items()}
    return value


def _entries(group: Any, case: dict[str, Any]) -> Any:
    if case.get("compare", {}).get("equal_ts") == "any" and isinstance(group, dict) and "stream" in group:
        return {**group, "values": sorted(group["values"], key=_text)}
    return group


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _unlike(path: str, expected: Any, got: Any) -> str | None:
    if isinstance(expected, str) and expected in PLACEHOLDERS:
        return None if isinstance(got, PLACEHOLDERS[expected]) else f"{path}: {got!r}, expected {expected}"
    if isinstance(expected, dict) and isinstance(got, dict):
        if expected.keys() != got.keys():
            return f"{path}: keys {sorted(got)}, expected {sorted(expected)}"
        return next((text for key in expected if (text := _unlike(f"{path}.{key}", expected[key], got[key]))), None)
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{path}: {len(got)} items, expected {len(expected)}: {str(got)[:300]}"
        pairs = enumerate(zip(expected, got, strict=True))
        return next((text for i, (a, b) in pairs if (text := _unlike(f"{path}[{i}]", a, b))), None)
    return None if expected == got and type(expected) is type(got) else f"{path}: {got!r}, expected {expected!r}"
