from __future__ import annotations

from time import perf_counter

import pytest

from tests.logql.stages.piping import run


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (b"plain", b"plain"),
        (b"", b""),
        (b"\x1b[32;1mINFO\x1b[0m done \x1b[4mx=1\x1b[24m", b"INFO done x=1"),
        (b"\x1b[38;5;31m[ERROR]\x1b[m step\x1b[K", b"[ERROR] step"),
        ("\u009b31mred\u009b0m".encode(), b"red"),
        (b"\x1b]0;title\x07text", b"text"),
        (b"\x1b", b"\x1b"),
        (b"\x1b[", b"\x1b["),
        (b"[32m no escape", b"[32m no escape"),
        (b"\x1b[1m\xff\xfe\x1b[0m", b"\xff\xfe"),
        ("\x1b[1mé日本\x1b[0m".encode(), "é日本".encode()),
    ],
)
def test_what_colours_a_line_goes(line: bytes, plain: bytes) -> None:
    row = run("| decolorize", line)
    assert row is not None
    assert row.line == plain


def test_a_line_made_to_be_slow_is_not() -> None:
    began = perf_counter()
    run("| decolorize", b"\x1b" + b";" * 200_000 + b"\x1b[" * 50_000)
    assert perf_counter() - began < 2
