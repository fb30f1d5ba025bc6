"""`weir delete`: deleting log lines, and looking after deletes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from gateway.cli.access import with_access
from gateway.cli.exits import exit_codes, say
from gateway.cli.explain import size_text
from gateway.cli.options import DEFAULT_ADDR, Addr, OrgId
from gateway.cli.output import Form, Printer, local_time
from gateway.cli.tables import ListForm, ListOutput, table
from gateway.client import BadArgument, Connection
from gateway.client.access import ANONYMOUS, Access
from gateway.client.deletes import Deletes, Deletion, Matching
from gateway.client.times import SECOND, parse_duration, time_window

_EVERYTHING = "{}"
_HOW_LONG = "Which time"


class _WithDefault(TyperGroup):
    """A group whose first command is meant where none is named: `weir delete '{app="web"}' ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["lines", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_WithDefault,
    no_args_is_help=True,
    help="Delete log lines, and look after deletes. `weir delete SELECTOR ...` is short for `weir delete lines ...`.",
)


@app.command("lines")
@with_access
def lines(
    selector: Annotated[
        str | None,
        typer.Argument(
            metavar="SELECTOR",
            help="Which lines: a log query, with filters if it has to be. Only --older-than can do without.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DURATION",
            help="How far back from the end: 90s, 1h30m, 7d.",
            rich_help_panel=_HOW_LONG,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Start, included: RFC 3339 or a Unix time in s or ns. Beats --since.",
            rich_help_panel=_HOW_LONG,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="End, excluded. Now, if it is not given.", rich_help_panel=_HOW_LONG),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="DURATION",
            help="All that is older; instead of the three others.",
            rich_help_panel=_HOW_LONG,
        ),
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing: say how many streams, lines and bytes it would be.")
    ] = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Delete what a log query finds, of the lines that there are now.

    Nobody sees the lines from then on; they leave the disk some time later. Until that begins the delete can be
    called off. Prints the id of the delete.

    Examples:
    ```
    weir delete lines '{app="web"} |= "password="' --since 30d --dry-run
    weir delete lines '{app="web"} |= "password="' --since 30d
    weir delete lines '{app="web"}' --from 2026-08-22T14:00:00Z --to 2026-08-22T15:00:00Z
    weir delete lines --older-than 7d
    weir delete lines '{app="web"}' --older-than 7d --dry-run
    ```
    """
    with exit_codes():
        query, start, end = _window(selector, since, from_, to, older_than, time.time_ns())
        with Connection(addr, org_id, access=access) as connection:
            deletes = Deletes(connection)
            printer = Printer(Form.RAW, _notice)
            if dry_run:
                printer.texts(_would(deletes.would_delete(query, start, end)))
                return
            request_id = deletes.create(query, start, end)
            printer.texts([request_id])
            _notice("Its lines are hidden now, and leave the disk in time: `weir delete list` says how far it is.")


@app.command("list")
@with_access
def list_(
    *,
    output: ListOutput = ListForm.DEFAULT,
    cancelled: Annotated[bool, typer.Option("--all", help="Also those that were called off.")] = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Print deletes and how far they are, oldest first.

    Examples:
    ```
    weir delete list
    weir delete list --all -o jsonl
    ```
    """
    with exit_codes():
        with Connection(addr, org_id, access=access) as connection:
            found = Deletes(connection).all(cancelled=cancelled)
        printer = Printer(Form.RAW, _notice)
        if output is ListForm.JSONL:
            printer.texts((msgspec.json.encode(each).decode() for each in found), json=True)
        elif found:
            printer.texts(_table(found))


@app.command("cancel")
@with_access
def cancel(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="Of the delete.", show_default=False)],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even if some of it is carried out: the rest is called off.")
    ] = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Call a delete off: its lines are seen again.

    Examples:
    ```
    weir delete cancel 01K3M9Z2T6Q8R4V0X1Y5W7N9PB
    ```
    """
    with exit_codes(), Connection(addr, org_id, access=access) as connection:
        Deletes(connection).cancel(request_id, force=force)


def _window(
    selector: str | None, since: str | None, from_: str | None, to: str | None, older_than: str | None, now: int
) -> tuple[str, int, int | None]:
    """The query, start and end (ns, both included; None: now). Raises BadArgument."""
    if older_than is not None:
        if since is not None or from_ is not None or to is not None:
            raise BadArgument("--older-than says the time all by itself")
        end = now - parse_duration(older_than)
        if end <= 0:
            raise BadArgument(f"--older-than {older_than}: that was before 1970, and no line is")
        return selector or _EVERYTHING, 0, end
    if selector is None:
        raise BadArgument("say which lines: give a SELECTOR, or --older-than")
    if since is None and from_ is None:
        raise BadArgument("say of which time: give --since, --from or --older-than")
    start, end = time_window(now, start=from_, end=to, since=since or "")
    return selector, start, None if to is None else end - 1


def _would(found: Matching) -> Iterator[str]:
    yield f"Streams   {found.streams:,}"
    yield f"Lines     {found.entries:,}"
    yield f"Bytes     {found.bytes:,} ({size_text(found.bytes)} of lines; on disk it is less)"


def _table(found: Sequence[Deletion]) -> Iterator[str]:
    head = ("ID", "STATUS", "ASKED", "FROM", "TO", "LEFT", "QUERY")
    rows = [
        (
            each.request_id,
            each.status,
            _clock(each.created_at),
            _clock(each.start_time),
            _clock(each.end_time),
            f"{each.blocks_left:,} files, {size_text(each.bytes_left)}" if each.blocks_left else "",
            each.query,
        )
        for each in found
    ]
    return table(head, rows)


def _clock(seconds: float) -> str:
    return local_time(int(seconds) * SECOND)


def _notice(text: str) -> None:
    say(text)
