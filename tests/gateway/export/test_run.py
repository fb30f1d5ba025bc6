"""An export that meets a damaged block goes on without it, and every line comes once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from config import Limits
from gateway.export.asked import read_export
from gateway.export.run import Export, Reach
from gateway.state import ReadStore
from logql import Unit
from storage.batch import Batch, Labels
from storage.errors import CorruptBlock
from storage.reading import EVERYTHING, Columns, Times
from tests.batch_unit import BatchUnit
from tests.logql.memory_source import Stored, batch_of

STREAM: Labels = (("app", "a"),)


class Damaged(BatchUnit):
    """Its contents cannot be read."""

    def read(self, times: Times, columns: Columns = EVERYTHING) -> Batch:
        del times, columns
        raise CorruptBlock("block x: damaged", Path("x"))


class Store:
    """Ten units of ten lines, of which the sixth is damaged until it is put aside."""

    def __init__(self) -> None:
        self.aside = False

    def scan(self, *_: object) -> Iterator[Unit]:
        for number in range(10):
            batch = batch_of([Stored(STREAM, 10 * number + at, b"%d" % (10 * number + at)) for at in range(10)])
            if number != 5:
                yield BatchUnit(batch, number)
            elif not self.aside:
                yield Damaged(batch, number)

    def missing(self, *_: object) -> tuple[str, ...]:
        return ("lines are missing",) if self.aside else ()


def made(store: Store, *, helps: bool) -> Iterator[bytes]:
    def met_damage(_: CorruptBlock) -> bool:
        store.aside = helps
        return helps

    asked = read_export({"query": ['{app="a"}'], "start": ["0"], "end": ["1"]}, 0)
    reach = Reach(cast("ReadStore", store), "t", Limits(), 0, piece=700)
    return Export(asked, reach, lambda: None, met_damage).pieces()


def _collect(pieces: Iterator[bytes], into: bytearray) -> None:
    for piece in pieces:
        into += piece


def test_what_is_damaged_is_left_out_and_told() -> None:
    rows = [json.loads(line) for line in b"".join(made(Store(), helps=True)).splitlines()]
    assert [int(row["ts"]) for row in rows if "ts" in row] == [ts for ts in range(100) if ts // 10 != 5]
    last = rows[-1]["mark"]
    assert (last["complete"], last["lines"], last["warnings"]) == (True, 90, ["lines are missing"])


def test_an_export_that_cannot_go_on_has_no_last_mark() -> None:
    body = bytearray()
    with pytest.raises(CorruptBlock):
        _collect(made(Store(), helps=False), body)
    rows = [json.loads(line) for line in body.splitlines()]
    assert [int(row["ts"]) for row in rows if "ts" in row] == list(range(50))[: sum("ts" in row for row in rows)]
    assert any("mark" in row for row in rows)
    assert not any(row["mark"].get("complete") for row in rows if "mark" in row)
