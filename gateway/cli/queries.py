"""`weir queries`: what a server is working on, what took long, and an end to one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
import typer

from gateway.cli.access import with_access
from gateway.cli.exits import exit_codes, say
from gateway.cli.explain import explanation_lines, size_text
from gateway.cli.options import DEFAULT_ADDR, Addr, OrgId
from gateway.cli.output import SECOND, Form, Printer, local_time
from gateway.client import BadArgument, Connection
from gateway.client.access import ANONYMOUS, Access
from gateway.client.explanation import Explanation
from gateway.client.queries import Queries, RunningQuery, SlowQuery


@with_access
def queries(
    cancel: Annotated[
        str | None, typer.Option("--cancel", metavar="ID", help="Stop the query of this id.", show_default=False)
    ] = None,
    *,
    slow: Annotated[
        bool, typer.Option("--slow", help="Print the last slow queries and what took their time, the last first.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, with all that is known.")] = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print the queries that a server is working on, the oldest first, or stop one.

    Examples:
    ```
    weir queries
    weir queries --cancel 3fa4c2d1
    weir queries --slow
    ```
    """
    with exit_codes():
        if cancel is not None and slow:
            raise BadArgument("--cancel and --slow do not go together")
        with Connection(addr, org_id, access=access) as connection:
            asked = Queries(connection)
            if cancel is not None:
                asked.stop(cancel)
                say(f"query {cancel} is stopped")
                return
            found: Sequence[RunningQuery | SlowQuery] = asked.slow() if slow else asked.running()
        printer = Printer(Form.RAW, say)
        if json:
            printer.texts((msgspec.json.encode(one).decode() for one in found), json=True)
        else:
            printer.texts(line for one in found for line in _lines(one))
        if not found:
            say("no query was slow" if slow else "no query waits or runs")


def _lines(one: RunningQuery | SlowQuery) -> Iterator[str]:
    asked = " ".join(f"{name}={value}" for name, value in one.parameters.items())
    who = " ".join(text for text in (one.client, one.user_agent, one.tags) if text)
    if isinstance(one, RunningQuery):
        read = f"{one.lines:,} lines, {size_text(one.bytes)}"
        shared = f", for {one.requests} requests" if one.requests > 1 else ""
        yield f"{one.id}  {one.state} for {one.seconds:.1f} s, {read}{shared}"
    else:
        waited = f", {one.queued_seconds:.1f} s of it waiting" if one.queued_seconds >= 0.1 else ""
        failed = "" if one.status == 200 else f", status {one.status}: {one.error}"
        yield f"{local_time(round(one.ended * 1000) * (SECOND // 1000))}  {one.seconds:.1f} s{waited}{failed}"
    yield f"    {one.query or one.kind}"
    yield f"    {one.kind} {asked}".rstrip()
    yield f"    tenant {one.tenant}, from {who}"
    if isinstance(one, SlowQuery) and one.explain is not None:
        told = msgspec.convert(one.explain, Explanation)
        yield from (f"    {line}" for line in explanation_lines(told))
