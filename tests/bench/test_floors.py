from __future__ import annotations

import json

import zstandard

from bench.floors import PIECE_BYTES, PIECE_ROWS, ScanFloor, codec_floor, cpu_of, cut, json_floor
from bench.lines import all_lines
from bench.payloads import json_pushes, payloads


def test_pieces_hold_every_line_in_order() -> None:
    lines = [b"%d" % number for number in range(PIECE_ROWS + 1)]
    pieces = list(cut(lines))
    assert len(pieces) == 2
    assert b"".join(pieces) == b"".join(lines)


def test_pieces_are_no_larger_than_a_row_group() -> None:
    lines = [bytes(PIECE_BYTES // 3)] * 7
    assert [len(piece) // (PIECE_BYTES // 3) for piece in cut(lines)] == [3, 3, 1]


def test_a_scan_covers_all_lines_of_the_apps_asked_for() -> None:
    lines = all_lines(200)
    floor = ScanFloor(lines)
    for app, kind in lines.items():
        held = b"".join(map(zstandard.ZstdDecompressor().decompress, floor.pieces([app])))
        assert len(held) == sum(map(len, kind))
        assert held.startswith(kind[0] + kind[10])
    assert len(floor.pieces(lines)) == 3


def test_floors_read_what_is_pushed() -> None:
    lines = all_lines(50)
    assert codec_floor(payloads(lines, 10).bodies) > 0
    assert json_floor(json_pushes(lines["json"], "x")) > 0
    assert json.loads(lines["json"][0])["method"] == "GET"


def test_the_least_of_several_runs_counts() -> None:
    rounds = iter([300_000, 10, 300_000])
    assert cpu_of(lambda: sum(range(next(rounds)))) < cpu_of(lambda: sum(range(300_000)))
