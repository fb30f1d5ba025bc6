"""Every request that a real Fluent Bit sent gives back the lines that its agent had."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.push.decode import decode_push
from tests.gateway.push.decoding import DATA, LIMITS, rows

REQUESTS = sorted((DATA / "fluent-bit").glob("*.http"))


def _sent(request: Path) -> tuple[dict[str, str], bytes]:
    head, _, body = request.read_bytes().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(body) == int(headers["content-length"])
    return headers, body


def _shown(request: Path) -> Any:
    """The JSON that the readable copy of a request shows."""
    name, _, number = request.name.removesuffix(".http").partition(".")
    text = request.with_name(name + ".txt").read_text()
    shown = re.split(r"^## request \d+ .*\n", text, flags=re.MULTILINE)[1:]
    body = shown[int(number or 0)].partition("\n\n")[2]
    return json.JSONDecoder().raw_decode(body)[0]


# The names of 21-bad-label-names, which Loki refuses.
_repaired = {"bad-name": "bad_name", "1x": "_1x"}


@pytest.mark.parametrize("request_file", REQUESTS, ids=lambda path: path.name)
def test_a_capture_gives_back_its_lines(request_file: Path) -> None:
    headers, body = _sent(request_file)
    batch = decode_push(
        body, headers["content-type"], headers.get("content-encoding", ""), False, LIMITS, repair_names=True
    )
    expected = [
        (
            tuple(sorted((_repaired.get(name, name), value) for name, value in stream["stream"].items())),
            int(ts),
            line.encode(),
            {key: value.encode() for key, value in (metadata[0] if metadata else {}).items()},
        )
        for stream in _shown(request_file)["streams"]
        for ts, line, *metadata in stream["values"]
    ]
    assert expected
    assert rows(batch) == expected


def test_no_capture_is_missing() -> None:
    assert len(REQUESTS) == 45
