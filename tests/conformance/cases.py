"""The recorded requests and answers, as files: one area a file, one case a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WRITING = ("push", "otlp", "tail", "delete")
"""Areas that change what later cases would see, in the order in which a real Loki was asked."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request and what a real Loki answered.

    Attributes:
        request: method, path, params, headers, body; what else an area needs that is not plain HTTP.
        setup: requests to send first, which must succeed.
        expect: status, content_type, and one of json, text, text_regex.
        ordered: the order of a vector's samples counts.
        unordered: the order of every list is the server's choice.
        equal_ts_any: entries with equal timestamps may change places.
    """

    id: str
    area: str
    request: Mapping[str, Any]
    setup: Sequence[Mapping[str, Any]]
    expect: Mapping[str, Any]
    ordered: bool
    unordered: bool
    equal_ts_any: bool

    @property
    def is_http(self) -> bool:
        """Whether one HTTP request asks it: not a websocket, not a command line."""
        return "method" in self.request and not self.is_tail

    @property
    def is_tail(self) -> bool:
        """Whether a websocket asks it."""
        return self.request.get("method") == "WS"


@cache
def areas() -> tuple[str, ...]:
    """Names of all areas, sorted."""
    return tuple(sorted(path.stem for path in (HERE / "cases").glob("*.jsonl")))


@cache
def cases(area: str) -> tuple[Case, ...]:
    """The cases of an area in recorded order."""
    return tuple(map(_case, _json_lines(HERE / "cases" / f"{area}.jsonl")))


@cache
def pushes() -> tuple[Mapping[str, Any], ...]:
    """The requests that load the data set which the answers are about."""
    return tuple(_json_lines(HERE / "dataset" / "dataset.jsonl"))


def _case(recorded: dict[str, Any]) -> Case:
    compare = recorded.get("compare", {})
    return Case(
        id=recorded["id"],
        area=recorded["area"],
        request=recorded,
        setup=recorded.get("setup", ()),
        expect=recorded["expect"],
        ordered=bool(compare.get("ordered")),
        unordered=bool(compare.get("unordered")),
        equal_ts_any=compare.get("equal_ts") == "any",
    )


def _json_lines(path: Path) -> list[dict[str, Any]]:
    # Not splitlines(): the lines hold U+2028 and its like.
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
