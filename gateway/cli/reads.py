"""Commands that ask a server: `weir query`, `weir labels`, `weir series`."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.access import with_access
from gateway.cli.exits import Exit, exit_codes, say
from gateway.cli.explain import explanation_lines
from gateway.cli.options import DEFAULT_ADDR, Addr, From, OrgId, Since, To
from gateway.cli.output import Form, Printer
from gateway.cli.progress import Progress
from gateway.cli.tail import print_tail
from gateway.cli.terminal import escape_controls
from gateway.client import Api, BadArgument, Connection, Page, pages
from gateway.client.access import ANONYMOUS, Access
from gateway.client.answers import QueryAnswer
from gateway.client.explanation import Explanation
from gateway.client.follow import Plan
from gateway.client.lines import format_labels
from gateway.client.times import time_window


class Direction(StrEnum):
    """Order of log lines."""

    BACKWARD = "backward"
    FORWARD = "forward"


@with_access
def query(
    logql: Annotated[str, typer.Argument(metavar="LOGQL", help="The query.", show_default=False)],
    since: Since = "1h",
    from_: From = None,
    to: To = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Most lines to print; 0 prints all there are.")
    ] = 30,
    direction: Annotated[
        Direction, typer.Option("--direction", metavar="|".join(Direction), help="`backward` is newest first.")
    ] = Direction.BACKWARD,
    output: Annotated[
        Form,
        typer.Option(
            "--output",
            "-o",
            metavar="|".join(Form),
            help="`default`: local time, labels, line; `raw`: the line; `jsonl`: a JSON object a line; "
            "`none`: nothing.",
        ),
    ] = Form.DEFAULT,
    batch: Annotated[
        int,
        typer.Option(
            "--batch", metavar="N", min=1, help="Most lines to ask for at once; the server has a limit of its own."
        ),
    ] = 1000,
    *,
    tail: Annotated[
        bool,
        typer.Option(
            "--tail",
            "-f",
            help="After the newest lines, oldest first, print each line as it comes, until Ctrl-C. If the connection "
            "breaks, it is made anew, and the newest `--batch` lines that came meanwhile are printed.",
        ),
    ] = False,
    delay_for: Annotated[
        int,
        typer.Option(
            "--delay-for",
            metavar="SECONDS",
            min=0,
            max=5,
            help="With --tail: hold lines back so long, so that those which come late are printed in order.",
        ),
    ] = 0,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Say what the server did and where its time went: to stderr, or with `-o none` to stdout. Of a "
            "download in pages, the first one.",
        ),
    ] = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print the log lines that a LogQL query finds.

    Labels that all lines share are printed once, to stderr. On a terminal control characters in lines are shown
    escaped; into a pipe lines go as they are. A metric query prints its result as JSON.

    Examples:
    ```
    weir query '{app="web"} |= "timeout"' --since 3h --limit 100
    weir query '{app="web"}' --from 2026-08-22T14:00:00Z --to 2026-08-22T15:00:00Z --limit 0 -o raw > web.log
    weir query '{app="web"}' -o jsonl | jq -r .line
    weir query --tail '{app="web"} |= "error"'
    weir query 'sum by (level) (rate({app="web"} | json [1m]))' --explain -o none
    ```
    """
    with exit_codes():
        start, end = time_window(time.time_ns(), start=from_, end=to, since=since)
        if tail:
            _check_tail(to, limit, explain=explain)
            printer = Printer(output, _notice, announces=False)
            plan = Plan(start, limit, batch)
            print_tail(logql, plan, printer, addr=addr, org_id=org_id, access=access, delay_for=delay_for)
            return
        warned: list[str] = []
        with Connection(addr, org_id, access=access) as connection, Progress() as progress:
            api = Api(connection)
            printer = Printer(output, _notice)

            told: list[Explanation | None] = []

            def fetch(page_start: int, page_end: int, page_limit: int) -> QueryAnswer:
                answer = api.query_range(
                    logql, page_start, page_end, limit=page_limit, direction=direction, explain=explain and not told
                )
                told.append(answer.explanation)
                return answer

            forward = direction is Direction.FORWARD
            for answer in pages(fetch, start, end, limit=limit, batch=batch, forward=forward):
                if isinstance(answer, Page):
                    printer.lines(answer.lines)
                    progress.advance(len(answer.lines))
                else:
                    printer.series(answer.kind, answer.json)
                for warning in answer.warnings:
                    if warning not in warned:
                        warned.append(warning)
            if explain:
                _explain(told[0], printer if output is Form.NONE else None)
    for warning in warned:
        say(f"warning: {warning}")
    if warned:
        raise typer.Exit(Exit.PARTIAL)


@with_access
def labels(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A label, to print its values.", show_default=False)
    ] = None,
    since: Since = "1h",
    from_: From = None,
    to: To = None,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print the names of labels in use, or the values of one of them.

    Examples:
    ```
    weir labels
    weir labels app --since 24h
    ```
    """
    with exit_codes():
        start, end = time_window(time.time_ns(), start=from_, end=to, since=since)
        with Connection(addr, org_id, access=access) as connection:
            api = Api(connection)
            found = api.label_names(start, end) if name is None else api.label_values(name, start, end)
        Printer(Form.RAW, _notice).texts(found)


@with_access
def series(
    matchers: Annotated[
        list[str] | None,
        typer.Argument(metavar="MATCHER", help="Stream selectors; none for all streams.", show_default=False),
    ] = None,
    since: Since = "1h",
    from_: From = None,
    to: To = None,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print the label sets of streams, one a line.

    Examples:
    ```
    weir series
    weir series '{app="web"}' '{app="api", level="error"}' --since 24h
    ```
    """
    with exit_codes():
        start, end = time_window(time.time_ns(), start=from_, end=to, since=since)
        with Connection(addr, org_id, access=access) as connection:
            found = Api(connection).series(matchers or [], start, end)
        Printer(Form.RAW, _notice).texts(format_labels(stream) for stream in found)


def _check_tail(to: str | None, limit: int, *, explain: bool) -> None:
    """Raises BadArgument for what --tail does not go with."""
    if to is not None or explain:
        raise BadArgument("--tail has no end and explains nothing: leave out --to and --explain")
    if not limit:
        raise BadArgument("--tail needs a --limit for the lines that are there already")


def _explain(explanation: Explanation | None, printer: Printer | None) -> None:
    """Prints an explanation: with `printer` as the command's output, without one beside it."""
    if explanation is None:
        say("the server does not explain queries")
    elif printer is not None:
        printer.texts(explanation_lines(explanation))
    else:
        escape = sys.stderr.isatty()
        _notice("\n".join(escape_controls(line) if escape else line for line in explanation_lines(explanation)))


def _notice(text: str) -> None:
    typer.echo(text, err=True)
