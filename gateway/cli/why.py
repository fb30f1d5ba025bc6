"""`weir why`: where the lines are that somebody misses, in plain words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.access import with_access
from gateway.cli.exits import exit_codes, say
from gateway.cli.explain import size_text
from gateway.cli.options import DEFAULT_ADDR, Addr, From, OrgId, Since, To
from gateway.cli.output import SECOND, Form, Printer, local_time
from gateway.client import Connection
from gateway.client.access import ANONYMOUS, Access
from gateway.client.lines import format_labels
from gateway.client.times import time_window
from gateway.client.why import Answer, StreamSeen, ask_why

_STREAMS = 10
"""Streams that are printed."""

_MARKS = {"cause": "!", "hint": "?", "fine": "-"}
"""What stands before a finding, by how much it explains."""


class Output(StrEnum):
    """How the answer is printed."""

    TEXT = "text"
    JSON = "json"


@with_access
def why(
    selector: Annotated[str, typer.Argument(metavar="SELECTOR", help="Which streams the lines should be in.")] = "{}",
    since: Since = "1h",
    from_: From = None,
    to: To = None,
    output: Annotated[
        Output,
        typer.Option(
            "--output", "-o", metavar="|".join(Output), help="`text`: sentences; `json`: all that the server says."
        ),
    ] = Output.TEXT,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Say where the lines of some streams are: refused, hidden, late, under other labels, or there after all.

    What probably is the cause stands first, after `!`; `?` is before what may have to do with it, `-` before what is
    well. The server remembers what it refused since it started.

    Examples:
    ```
    weir why '{app="web"}'
    weir why '{app="web", env="prod"}' --since 24h
    weir why -o json | jq '.rejected[]'
    ```
    """
    with exit_codes():
        start, end = time_window(time.time_ns(), start=from_, end=to, since=since)
        with Connection(addr, org_id, access=access) as connection:
            answer, body = ask_why(connection, selector, start, end)
        printer = Printer(Form.RAW, say)
        if output is Output.JSON:
            printer.texts([body.decode().rstrip("\n")], json=True)
        else:
            printer.texts(_lines(answer))


def _lines(answer: Answer) -> Iterator[str]:
    for finding in answer.findings:
        first, *rest = finding.text.split("\n")
        yield f"{_MARKS.get(finding.level, '?')} {first}"
        yield from (f"  {line}" for line in rest)
        if finding.advice:
            yield f"  -> {finding.advice}"
    if answer.streams:
        yield ""
        yield f"Streams that match: {answer.matching:,}. Those that wrote last:"
        yield from map(_stream, answer.streams[:_STREAMS])


def _stream(one: StreamSeen) -> str:
    arrived = f", came in {_clock(one.last_arrival)}" if one.last_arrival else ""
    labels = format_labels(sorted(one.stream.items()))
    return f"  {_clock(one.last_entry)}{arrived}, lines {one.lines:,}, {size_text(one.bytes)}  {labels}"


def _clock(ns: str) -> str:
    """A time to the second."""
    return local_time(int(ns) // SECOND * SECOND)
