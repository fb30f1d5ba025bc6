"""`weir export`: a log query of any length to a file or to stdout."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from gateway.cli.access import with_access
from gateway.cli.exits import Exit, exit_codes, say
from gateway.cli.explain import size_text
from gateway.cli.export_file import File, Note, Screen, Target, note_path, read_note
from gateway.cli.options import DEFAULT_ADDR, Addr, From, OrgId, Since, To
from gateway.client import BadArgument, Connection
from gateway.client.access import ANONYMOUS, Access
from gateway.client.export import Part, Wanted
from gateway.client.export import export as exported
from gateway.client.times import time_window

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Format(StrEnum):
    """What is written."""

    NDJSON = "ndjson"
    CSV = "csv"


@with_access
def export(
    context: typer.Context,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A log query.", show_default=False)],
    since: Since = "1h",
    from_: From = None,
    to: To = None,
    *,
    form: Annotated[
        Format,
        typer.Option(
            "-o",
            "--format",
            metavar="|".join(Format),
            help="`ndjson`: an object a line with ts, labels, structuredMetadata, parsed and line; `csv`: ts, "
            "labels, line.",
        ),
    ] = Format.NDJSON,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="LABEL", help="In CSV a column for this label; may be repeated."),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="All labels of a line in one object, wherever they come from.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Write to a new file; FILE.resume is beside it until all is there."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with FILE, with the time and options that it was begun with: they need not be given "
            "again, and others are refused.",
        ),
    ] = False,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Most lines; 0: all.")] = 0,
    backward: Annotated[bool, typer.Option("--backward", help="Newest first.")] = False,
    addr: Addr = DEFAULT_ADDR,
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Write all log lines that a query finds, oldest first, however many.

    When the connection breaks it is made anew, and no line comes twice. An export to a file that was given up
    is gone on with by the same command and --resume.

    Examples:
    ```
    weir export '{app="web"}' --since 24h > lines.ndjson
    weir export '{app="web"} | logfmt' --from 2026-08-22T00:00:00Z --to 2026-08-23T00:00:00Z --output day.ndjson
    weir export '{app="web"}' --output day.ndjson --resume
    weir export '{app="web"}' -o csv --column pod --column level --output day.csv
    ```
    """
    with exit_codes():
        tenant = org_id or ""
        note = _note(query, output, tenant) if resume else None
        if note is not None:
            options = {
                "--format": ("form", form, note.format),
                "--column": ("column", tuple(column or ()), note.columns),
                "--together": ("together", together, note.together),
                "--limit": ("limit", limit, note.limit),
                "--backward": ("backward", not backward, note.forward),
            }
            _check_same(context, output, note, options, since=since, from_=from_, to=to)
            wanted = note.wanted()
        else:
            if output is not None:
                _check_new(output)
            start, end = time_window(time.time_ns(), start=from_, end=to, since=since)
            wanted = Wanted(query, start, end, form, not backward, together, tuple(column or ()), limit)
        with Connection(addr, org_id, access=access) as connection:
            warnings = _run(connection, wanted, output, tenant, note)
        for text in warnings:
            say(text)
        if warnings:
            raise typer.Exit(Exit.PARTIAL)


def _note(query: str, output: Path | None, tenant: str) -> Note:
    if output is None:
        raise BadArgument("--resume needs the file: give --output")
    return read_note(output, query, tenant)


def _check_same(
    context: typer.Context,
    output: Path | None,
    note: Note,
    options: dict[str, tuple[str, object, object]],
    *,
    since: str,
    from_: str | None,
    to: str | None,
) -> None:
    """Raises BadArgument for options that were given and are not those that the export was begun with.

    Args:
        context: knows which were given.
        output: the file.
        note: of it.
        options: by flag (the parameter's name, its value now, its value then).
        since: as given; all three are read as if it were the end of the note's time.
        from_: as given.
        to: as given.
    """
    other = [flag for flag, (name, now, then) in options.items() if _given(context, name) and now != then]
    times = [
        flag for flag, name in (("--since", "since"), ("--from", "from_"), ("--to", "to")) if _given(context, name)
    ]
    if times and time_window(note.end, start=from_, end=to, since=since) != (note.start, note.end):
        other += times
    if other:
        raise BadArgument(
            f"{output} was begun with another {', '.join(other)}: leave it out, --resume goes on as it was begun"
        )


def _given(context: typer.Context, name: str) -> bool:
    """Whether a parameter of this command was given."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _run(connection: Connection, wanted: Wanted, output: Path | None, tenant: str, note: Note | None) -> list[str]:
    """Exports; what the server warns of."""
    done = 0 if note is None else note.lines
    if note is not None and output is not None and note.is_full:
        File(output, wanted, tenant, note).done()
        return []
    target: Target | None = None
    with _Bar(wanted, to_file=output is not None) as bar:
        for part in exported(connection, wanted, time.sleep, done):
            if not isinstance(part, Part):
                say(f"{part.reason}; going on in {part.seconds:g} s")
                continue
            if target is None:  # the server has answered
                target = Screen() if output is None else File(output, wanted, tenant, note)
            target.write(part.records, part.mark)
            bar.show(part)
            if part.mark.complete:
                target.done()
                return part.mark.warnings
    raise AssertionError("an export ends with a mark that says so")


def _check_new(output: Path) -> None:
    """Raises BadArgument for a file that is there."""
    if output.exists():
        more = " --resume goes on with it, or" if note_path(output).exists() else ""
        raise BadArgument(f"{output} is there already:{more} give another name")


class _Bar:
    """How far an export is, on stderr if that is a terminal that no records go to."""

    def __init__(self, wanted: Wanted, *, to_file: bool) -> None:
        self._on = sys.stderr.isatty() and (to_file or not sys.stdout.isatty())
        self._wanted = wanted
        self._bytes = 0
        self._shown: tuple[RichProgress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown is not None:
            self._shown[0].stop()

    def show(self, part: Part) -> None:
        """How far it is now."""
        self._bytes += len(part.records)
        if not self._on:
            return
        if self._shown is None:
            self._shown = self._start()
        bar, task = self._shown
        said = f"{part.mark.lines:,} lines, {size_text(self._bytes)}"
        bar.update(task, completed=self._share(part), said=said)

    def _share(self, part: Part) -> float:
        """Of the time asked for, 0 to 1."""
        if part.mark.complete or part.mark.ts is None:
            return float(part.mark.complete)
        wanted, ts = self._wanted, int(part.mark.ts)
        passed = ts - wanted.start if wanted.forward else wanted.end - ts
        return passed / max(1, wanted.end - wanted.start)

    def _start(self) -> tuple[RichProgress, TaskID]:
        from rich.console import Console  # noqa: PLC0415 - rich costs start-up time that short commands need not pay
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - as above
        from rich.progress import Progress as Columns  # noqa: PLC0415 - as above

        columns = (TextColumn("{task.fields[said]}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        bar = Columns(*columns, console=Console(stderr=True), transient=True)
        task = bar.add_task("", total=1.0, said="")
        bar.start()
        return bar, task
