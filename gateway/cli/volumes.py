"""Commands that ask how much there is: `weir volume`, `weir stats`. No line is read for them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, TypeAlias

import msgspec
import typer

from gateway.cli.access import with_access
from gateway.cli.exits import Exit, exit_codes, say
from gateway.cli.explain import size_text
from gateway.cli.options import DEFAULT_ADDR, Addr, From, OrgId, Since, To
from gateway.cli.output import Form, Printer, local_time
from gateway.client import Connection
from gateway.client.access import ANONYMOUS, Access
from gateway.client.lines import format_labels
from gateway.client.times import parse_duration, time_window
from gateway.client.volumes import Stats, Volumes, VolumeSeries, series_of

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON, with exact numbers.")]


@with_access
def volume(
    selector: Annotated[str, typer.Argument(metavar="SELECTOR", help="Which streams.")] = "{}",
    since: Since = "1h",
    from_: From = None,
    to: To = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Most series to print.")] = 30,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="LABEL",
            help="Add up by this label, of streams that have it; may be repeated. Without it: by the labels that "
            "SELECTOR names, or by all.",
        ),
    ] = None,
    step: Annotated[
        str | None, typer.Option("--step", metavar="DURATION", help="Print a size for each 5m, 1h, 1d of the time.")
    ] = None,
    *,
    labels: Annotated[bool, typer.Option("--labels", help="Add up by names of labels, whatever their values.")] = False,
    json: Json = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print how many bytes came, by series, the largest first.

    Examples:
    ```
    weir volume --since 24h
    weir volume '{env="prod"}' --by app --by pod
    weir volume '{app="web"}' --step 1h --since 24h
    ```
    """
    with exit_codes():
        start, end = time_window(time.time_ns(), start=from_, end=to, since=since)
        every = parse_duration(step) if step else 0
        with Connection(addr, org_id, access=access) as connection:
            found = Volumes(connection).volume(
                selector, start, end, limit=limit, targets=by or (), by_label=labels, step=every
            )
        printer = Printer(Form.RAW, say)
        if json:
            printer.series(found.kind, found.json)
        else:
            printer.texts(_stepped(series_of(found)) if every else _sized(series_of(found)))
        for warning in found.warnings:
            say(f"warning: {warning}")
        if found.warnings:
            raise typer.Exit(Exit.PARTIAL)


@with_access
def stats(
    selector: Annotated[str, typer.Argument(metavar="SELECTOR", help="Which streams.", show_default=False)],
    since: Since = "1h",
    from_: From = None,
    to: To = None,
    *,
    json: Json = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print how many streams, chunks, bytes and entries a query of some streams would read.

    Example:
    ```
    weir stats '{app="web"}' --since 24h
    ```
    """
    with exit_codes():
        start, end = time_window(time.time_ns(), start=from_, end=to, since=since)
        with Connection(addr, org_id, access=access) as connection:
            found = Volumes(connection).stats(selector, start, end)
        texts = [msgspec.json.encode(found).decode()] if json else _figures(found)
        Printer(Form.RAW, say).texts(texts, json=json)


def _figures(found: Stats) -> Iterator[str]:
    yield f"Streams   {found.streams:,}"
    yield f"Chunks    {found.chunks:,}"
    yield f"Bytes     {found.bytes:,} ({size_text(found.bytes)})"
    yield f"Entries   {found.entries:,}"


def _sized(series: Sequence[VolumeSeries]) -> Iterator[str]:
    for one in series:
        for _, size in one.points:
            yield f"{size_text(size):>10}  {_name(one)}"


def _stepped(series: Sequence[VolumeSeries]) -> Iterator[str]:
    for one in series:
        for stamp, size in one.points:
            yield f"{local_time(stamp)} {size_text(size):>10}  {_name(one)}"


def _name(series: VolumeSeries) -> str:
    """The labels; of a series that is a label, its name."""
    if list(series.metric.values()) == [""]:
        return next(iter(series.metric))
    return format_labels(sorted(series.metric.items()))
