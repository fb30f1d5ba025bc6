"""`weir relay`: what a server sends on and what is in the way of it; at a central server, who sends."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
import typer

from gateway.cli.access import with_access
from gateway.cli.exits import Exit, exit_codes, leave, say
from gateway.cli.explain import size_text
from gateway.cli.options import DEFAULT_ADDR, Addr, OrgId
from gateway.cli.output import SECOND, Form, Printer, local_time
from gateway.cli.tables import ListForm, ListOutput, table
from gateway.client import BadArgument, Connection
from gateway.client.access import ANONYMOUS, Access
from gateway.client.relay import Batch, Chosen, Instance, Relay, RelayStatus, Status, Summary
from gateway.client.times import parse_duration

app = typer.Typer(no_args_is_help=True, help="Look after what a server sends on to others.")


class StatusForm(StrEnum):
    """How the state of relays is printed."""

    DEFAULT = "default"
    JSON = "json"


_GONE = "gone"
RelayName: TypeAlias = Annotated[
    str | None, typer.Option("--relay", metavar="NAME", help="Of one relay alone.", show_default=False)
]


@app.command("status")
@with_access
def status(
    *,
    output: Annotated[
        StatusForm,
        typer.Option("--output", "-o", metavar="|".join(StatusForm), help="`default`: for people; `json`: one object."),
    ] = StatusForm.DEFAULT,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print how far each relay is, what waits and why; then the servers that send to this one.

    Examples:
    ```
    weir relay status
    weir relay status -o json
    ```
    """
    with exit_codes():
        with Connection(addr, org_id, access=access) as connection:
            found = Relay(connection).status()
        printer = Printer(Form.RAW, say)
        if output is StatusForm.JSON:
            printer.texts([msgspec.json.encode(found).decode()], json=True)
            return
        printer.texts(_status(found))
        if not found.relays and not found.instances:
            say("this server sends nothing on, and no other has sent it anything")


@app.command("batches")
@with_access
def batches(
    *,
    relay: RelayName = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="Those that are pending, sending, failed, archived, refused or removed.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DURATION", help="Begun so long ago at most: 15m, 1h, 7d.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="So many at most, the last ones.")] = 100,
    summary: Annotated[
        bool, typer.Option("--summary", help="Print how many there are of each status, all of them.")
    ] = False,
    output: ListOutput = ListForm.DEFAULT,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print batches of relays, the last first. Archived ones are forgotten after 7 days.

    Examples:
    ```
    weir relay batches
    weir relay batches --status refused
    weir relay batches --since 1h --summary
    weir relay batches --relay upstream -o jsonl
    ```
    """
    with exit_codes():
        if since is not None:
            parse_duration(since)
        asked = [("relay", relay), ("status", status), ("since", since), ("limit", None if summary else str(limit))]
        params = [(name, value) for name, value in asked if value is not None]
        with Connection(addr, org_id, access=access) as connection:
            calls = Relay(connection)
            found: Sequence[Batch | Summary] = calls.summary(params) if summary else calls.batches(params)
        printer = Printer(Form.RAW, say)
        if output is ListForm.JSONL:
            printer.texts((msgspec.json.encode(each).decode() for each in found), json=True)
        elif found:
            printer.texts(
                table(_SUMMARIES if summary else _BATCHES, [_cells(each) for each in found], numbers=_NUMBERS)
            )
        else:
            say("no batch is like that")


@app.command("retry")
@with_access
def retry(
    uuid: Annotated[str | None, typer.Argument(metavar="UUID", help="Of the batch.", show_default=False)] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that wait or were refused.")] = False,
    relay: RelayName = None,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Send a batch again: now, if it waits for its next try; once more, if it was refused.

    Examples:
    ```
    weir relay retry 7e8c3f0a-5d0b-4a53-9f6c-0a4d8c1e2b37
    weir relay retry --all
    weir relay retry --all --relay upstream
    ```
    """
    with exit_codes():
        if (uuid is None) is not every:
            raise BadArgument("say which batch: give its UUID, or --all")
        if uuid is not None and relay is not None:
            raise BadArgument("a UUID says all by itself: leave --relay out")
        params = [("all", "true")] if uuid is None else [("uuid", uuid)]
        if relay is not None:
            params.append(("relay", relay))
        with Connection(addr, org_id, access=access) as connection:
            say(f"{_amount(Relay(connection).retry(params))} will be sent again")


@app.command("remove")
@with_access
def remove(
    uuid: Annotated[str | None, typer.Argument(metavar="UUID", help="Of the batch.", show_default=False)] = None,
    *,
    relay: Annotated[
        str | None,
        typer.Option(
            "--relay",
            metavar="NAME",
            help="All that this relay has not sent; one that is no longer in the settings is forgotten with it.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Give up sending a batch, or all that a relay has yet to send. The entries stay on this server.

    Asks first, and says how many records will not be sent.

    Examples:
    ```
    weir relay remove 7e8c3f0a-5d0b-4a53-9f6c-0a4d8c1e2b37
    weir relay remove --relay old-upstream
    weir relay remove --relay old-upstream --yes
    ```
    """
    with exit_codes():
        if (uuid is None) is (relay is None):
            raise BadArgument("say what to give up: a batch's UUID, or --relay NAME")
        params = [("relay", relay)] if uuid is None else [("uuid", uuid)]
        with Connection(addr, org_id, access=access) as connection:
            calls = Relay(connection)
            if not yes:
                _ask(_given_up(calls, uuid, relay))
            gone = calls.remove([(name, value) for name, value in params if value is not None])
            say(f"{_count(gone.records) if uuid is None else _amount(gone)} given up")


def _given_up(calls: Relay, uuid: str | None, relay: str | None) -> str:
    """What a removal would give up, in words."""
    if uuid is not None:
        found = calls.batches([("uuid", uuid)])
        if not found:
            raise BadArgument(f"there is no batch {uuid}")
        return f"batch {uuid} of relay {found[0].relay}: {_count(found[0].records)} will not be sent"
    known = {each.relay: each for each in calls.status().relays}
    if relay not in known:
        raise BadArgument(f"there is no relay {relay!r}; there are: {', '.join(sorted(known)) or 'none'}")
    one = known[relay]
    return f"relay {relay}: {_count(one.records.pending + one.records.refused)} will not be sent"


def _ask(what: str) -> None:
    """Has the person agree. Raises BadArgument where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise BadArgument(f"{what}; say --yes if that is meant")
    if not typer.confirm(f"weir: {what}. Give them up?", err=True):
        leave(Exit.REFUSED, "nothing is given up")


def _status(found: Status) -> Iterator[str]:
    for each in found.relays:
        yield from _relay(each)
    if found.instances:
        if found.relays:
            yield ""
        yield from table(_INSTANCES, [_instance(each) for each in found.instances], numbers=_NUMBERS)


def _relay(one: RelayStatus) -> Iterator[str]:
    to = " ".join(text for text in (one.sink, one.destination) if text)
    is_gone = one.state == _GONE
    yield f"{one.relay}  {'in no setting any more: nothing is sent' if is_gone else f'{to}  {one.state}'}"
    records, behind = one.records, one.backlog
    yield f"    records   {records.total:,} total, {_fates(records)}"
    yield f"    batches   {one.batches.total:,} total, {_fates(one.batches)}"
    age = f", the oldest from {_span(behind.oldest_seconds)} ago" if behind.records else ""
    on_disk = f", {size_text(behind.disk_bytes)} kept on disk" if behind.disk_bytes else ""
    yield f"    backlog   {_count(behind.records)}, {size_text(behind.bytes)}{age}{on_disk}"
    if not is_gone:
        percent = round(100 * one.batch_size / one.batch_size_target)
        yield f"    size      {one.batch_size:,} records a batch, {percent} % of {one.batch_size_target:,}"
    if one.error:
        failed = f"{one.failures:,} failures in a row, the last: " if one.failures else ""
        yield f"    error     {failed}{_one_line(one.error)}"


def _fates(amounts: msgspec.Struct) -> str:
    parts = {name: getattr(amounts, name) for name in ("archived", "pending", "refused", "removed")}
    return ", ".join(f"{count:,} {name}" for name, count in parts.items() if count or name in ("archived", "pending"))


_INSTANCES = ("INSTANCE", "TENANT", "BATCHES", "RECORDS", "LAST RECEIVED", "THROUGH")
_BATCHES = ("UUID", "RELAY", "TENANT", "RECORDS", "BYTES", "STATUS", "STARTED", "COMPLETED", "RETRIES", "ERROR")
_SUMMARIES = ("RELAY", "STATUS", "BATCHES", "RECORDS", "BYTES", "RETRIES")
_NUMBERS = {"BATCHES", "RECORDS", "BYTES", "RETRIES"}
"""Columns that stand at the right."""


def _instance(one: Instance) -> tuple[str, ...]:
    last = _clock(one.last_received)
    return one.instance, one.tenant, f"{one.batches:,}", f"{one.records:,}", last, " ".join(one.path)


def _cells(one: Batch | Summary) -> tuple[str, ...]:
    size = size_text(one.bytes)
    if isinstance(one, Summary):
        return one.relay, one.status, f"{one.batches:,}", f"{one.records:,}", size, f"{one.retries:,}"
    times = _clock(one.started), _clock(one.completed)
    return (
        one.uuid,
        one.relay,
        one.tenant,
        f"{one.records:,}",
        size,
        one.status,
        *times,
        f"{one.retries}",
        _one_line(one.error),
    )


def _amount(chosen: Chosen) -> str:
    plural = "" if chosen.batches == 1 else "es"
    return f"{chosen.batches:,} batch{plural} with {_count(chosen.records)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _count(records: int) -> str:
    return f"{records:,} record{'' if records == 1 else 's'}"


def _clock(seconds: float) -> str:
    return local_time(int(seconds) * SECOND) if seconds else "-"


def _span(seconds: float) -> str:
    """A length of time with its two largest units: 2d4h, 3m20s."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size}{unit}")
            left %= size
    return "".join(parts[:2])
