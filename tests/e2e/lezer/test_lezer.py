"""The grammar of Grafana's query editor and Weir's take the same texts, but for the listed differences."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from logql import ParseError, parse_unbuilt
from tests.logql.dataset import json_lines

pytestmark = pytest.mark.node

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "logql" / "data"


def corpus() -> list[str]:
    printed = [line.split(" => ")[0] for line in (DATA / "print.txt").read_text(encoding="utf-8").split("\n")[1:-1]]
    refused = [query for query, _ in json_lines(DATA / "errors_recorded.jsonl")]
    return sorted({*json_lines(DATA / "queries_recorded.jsonl"), *refused, *printed, *differences()})


def differences() -> dict[str, str]:
    """Query -> the one that takes it."""
    lines = (HERE / "differences.txt").read_text(encoding="utf-8").split("\n")[1:-1]
    return {query: who for query, who, _why in (line.split(" => ") for line in lines)}


def lezer_takes(queries: list[str]) -> list[bool]:
    assert (HERE / "node_modules").is_dir(), "Grafana's grammar is not installed: run `make test-node`, which does it"
    done = subprocess.run(
        ["node", HERE / "parse.mjs"],
        input=json.dumps(queries),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    taken: list[bool] = json.loads(done.stdout)
    return taken


def weir_takes(query: str) -> bool:
    """Whether the text follows the grammar. Errors of other rules have no position; nor has that of an empty text."""
    try:
        parse_unbuilt(query)
    except ParseError as error:
        return bool(query) and not (error.line or error.col)
    return True


def test_both_grammars_take_the_same_queries() -> None:
    queries = corpus()
    assert len(queries) > 1400
    found = {
        query: "weir" if weir else "lezer"
        for query, lezer in zip(queries, lezer_takes(queries), strict=True)
        if (weir := weir_takes(query)) != lezer
    }
    assert found == differences()
