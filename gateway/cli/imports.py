"""`weir import`: log files into a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import typer

from gateway.cli.access import with_access
from gateway.cli.exits import Exit, exit_codes, leave, say
from gateway.cli.explain import size_text
from gateway.cli.importing import Meter
from gateway.cli.options import DEFAULT_ADDR, OrgId
from gateway.cli.output import Form, Printer, local_time
from gateway.client import BadArgument, Connection
from gateway.client.access import ANONYMOUS, Access
from gateway.client.importing import (
    Fields,
    Figures,
    Format,
    Options,
    Reading,
    Rejected,
    Sender,
    Source,
    find_sources,
    import_source,
    preview,
    time_rule,
)
from gateway.client.lines import format_labels
from gateway.client.times import SECOND, parse_duration

_TEXT = "Lines of text"
_JSON = "Lines of JSON"
_HOW = "How it is sent"
_SHOWN = 10
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


class TimeOf(StrEnum):
    """Which time lines of text get."""

    LINE = "line"
    FILE = "file"
    NOW = "now"


@with_access
def import_(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders with all that is in them, `-` for stdin."),
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            "--addr",
            metavar="URL",
            envvar=["WEIR_ADDR", "LOKI_ADDR"],
            help="The server, with a path prefix and `user:password@` if it has them.",
        ),
    ] = DEFAULT_ADDR,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", "-l", metavar="NAME=VALUE", help="A label for every line; may be repeated."),
    ] = None,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            metavar="|".join(Format),
            help="`text`: a line is an entry; `ndjson`: a JSON object a line, as `weir export`, "
            "`weir query -o jsonl` and `logcli query -o jsonl` write them; `json`: one document, a body of Loki's push "
            "API or an answer of query_range; `auto` looks which of these it is.",
        ),
    ] = Format.AUTO,
    filename_label: Annotated[
        str,
        typer.Option(
            "--filename-label",
            metavar="NAME",
            help="The label with the file's name; '' for none.",
            rich_help_panel=_TEXT,
        ),
    ] = "filename",
    time_of: Annotated[
        TimeOf,
        typer.Option(
            "--time",
            metavar="|".join(TimeOf),
            help="`line`: the time that a line says, a line without one has that of the line before, and where "
            "there is none the file's; `file`: when the file was last written to; `now`: when the import was begun.",
            rich_help_panel=_TEXT,
        ),
    ] = TimeOf.LINE,
    time_format: Annotated[
        str | None,
        typer.Option(
            "--time-format",
            metavar="FORMAT",
            help="How lines say their time, as strptime has it, with `%f` for a fraction's digits and `%s` for Unix "
            "seconds: `%d.%m.%Y %H:%M:%S,%f`. Without it the usual forms are looked for in the first 256 characters.",
            rich_help_panel=_TEXT,
        ),
    ] = None,
    zone: Annotated[
        str,
        typer.Option("--zone", metavar="ZONE", help="Of times that do not say theirs: `Europe/Berlin`."),
    ] = "UTC",
    encoding: Annotated[
        str,
        typer.Option(
            "--encoding",
            metavar="NAME",
            help="Of the text: `latin-1`. What is not valid in it becomes U+FFFD.",
            rich_help_panel=_TEXT,
        ),
    ] = "utf-8",
    time_field: Annotated[
        str | None,
        typer.Option("--time-field", metavar="NAME", help="The field with the time.", rich_help_panel=_JSON),
    ] = None,
    line_field: Annotated[
        str | None,
        typer.Option(
            "--line-field",
            metavar="NAME",
            help="The field with the line; the whole object is the line without it.",
            rich_help_panel=_JSON,
        ),
    ] = None,
    label_field: Annotated[
        list[str] | None,
        typer.Option("--label-field", metavar="NAME", help="A field that is a label.", rich_help_panel=_JSON),
    ] = None,
    metadata_field: Annotated[
        list[str] | None,
        typer.Option(
            "--metadata-field", metavar="NAME", help="A field that is structured metadata.", rich_help_panel=_JSON
        ),
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: print what the first lines of each file would become.")
    ] = False,
    rejected: Annotated[
        Path | None,
        typer.Option(
            "--rejected",
            metavar="FILE",
            help="Add lines that are not stored to this file, with the reason, as JSON objects.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Where to note how far each file is, so that the same command goes on there: beside the file, if "
            "it is not given.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    no_state: Annotated[bool, typer.Option("--no-state", help="Note nothing.", rich_help_panel=_HOW)] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew with every file.", rich_help_panel=_HOW)
    ] = False,
    batch_bytes: Annotated[
        int, typer.Option("--batch-bytes", metavar="N", min=1, help="Most bytes of a push.", rich_help_panel=_HOW)
    ] = 1 << 20,
    batch_lines: Annotated[
        int, typer.Option("--batch-lines", metavar="N", min=1, help="Most lines of a push.", rich_help_panel=_HOW)
    ] = 20_000,
    in_flight: Annotated[
        int, typer.Option("--in-flight", metavar="N", min=1, max=64, help="Pushes at once.", rich_help_panel=_HOW)
    ] = 3,
    retry_for: Annotated[
        str,
        typer.Option(
            "--retry-for",
            metavar="DURATION",
            help="How long a server that is away or busy is waited for.",
            rich_help_panel=_HOW,
        ),
    ] = "10m",
    org_id: OrgId = None,
    access: Access = ANONYMOUS,
) -> None:
    """Import log files into a server: text, JSON lines, Loki's JSON; plain, gzip or zstd; of any age.

    Each line is stored once, however often the command or the server is killed and begun again: run the same command,
    and it goes on where it was. A file that has grown since is taken up where it ended.

    Examples:
    ```
    weir import /var/log/nginx --label job=nginx
    weir import app.log.1.gz --label app=web --zone Europe/Berlin --dry-run
    weir import events.ndjson --time-field at --line-field message --label-field service
    weir import export.ndjson --to http://127.0.0.1:3100 --rejected rejected.ndjson
    journalctl -o short-iso | weir import - --label job=journal
    ```
    """
    with exit_codes():
        reading = Reading(
            form=form,
            labels=_labels(label or []),
            file_label=filename_label,
            fields=Fields(time_field, line_field, tuple(label_field or ()), tuple(metadata_field or ())),
            rule=None if time_format is None else time_rule(time_format, _zone(zone)),
            line_times=time_of is TimeOf.LINE,
            file_times=time_of is not TimeOf.NOW,
            zone=_zone(zone),
            encoding=_encoding(encoding),
            batch_bytes=batch_bytes,
            batch_lines=batch_lines,
        )
        sources = find_sources(paths)
        if dry_run:
            for source in sources:
                _show(source, reading)
            return
        if state is not None and not state.is_dir():
            raise BadArgument(f"--state: there is no folder {state}")
        options = Options(f"{to} {org_id or ''}", in_flight, state, keep_state=not no_state, restart=restart)
        figures = Figures()
        patience = parse_duration(retry_for) / SECOND
        with (
            _rejects(rejected) as reject,
            Connection(to, org_id, access=access) as connection,
            Meter(sources, figures) as meter,
        ):
            sender = Sender(connection, patience, meter.waits)
            for source in sources:
                meter.begin(source)
                try:
                    import_source(source, reading, options, sender, figures, reject, meter.show)
                except OSError as error:
                    where = error.filename or source.name
                    leave(Exit.REFUSED, f"cannot note how far the import is, in {where}: {error.strerror}")
        _summary(figures)


def _summary(figures: Figures) -> None:
    files = "1 file" if figures.files == 1 else f"{figures.files:,} files"
    before = f"; {figures.before:,} lines were imported before" if figures.before else ""
    typer.echo(f"stored {figures.lines:,} lines of {files}, {size_text(figures.bytes)}{before}")
    if not figures.rejected:
        return
    say(f"lines not stored: {sum(figures.rejected.values()):,}")
    reasons = sorted(figures.rejected.items(), key=lambda each: -each[1])
    for reason, count in reasons[:_SHOWN]:
        say(f"  {count:,}: {reason}")
    if len(reasons) > _SHOWN:
        say(f"  and {len(reasons) - _SHOWN:,} more reasons: --rejected FILE has them all")
    raise typer.Exit(Exit.PARTIAL)


def _show(source: Source, reading: Reading) -> None:
    rows, rejected = preview(source, reading, _SHOWN)
    say(f"{source.name}: the first {len(rows)} lines")
    printer = Printer(Form.RAW, say)
    printer.texts(f"{local_time(int(at))} {format_labels(labels)} {line}" for labels, (at, line, *_) in rows)
    for each in rejected:
        say(f"not to be stored: {each.reason}: {each.text}")


@contextmanager
def _rejects(path: Path | None) -> Iterator[_Rejects]:
    with ExitStack() as stack:
        try:
            file = None if path is None else cast("BinaryIO", stack.enter_context(path.open("ab", buffering=0)))
        except OSError as error:
            raise BadArgument(f"--rejected: cannot write {path}: {error.strerror}") from error
        yield _Rejects(file)


class _Rejects:
    """Writes lines that are not stored to a file, such that `weir import` reads those of which it knew the time."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file

    def __call__(self, rejected: Rejected) -> None:
        if self._file is None:
            return
        said: dict[str, object] = {"reason": rejected.reason}
        if rejected.row is not None:
            labels, (at, _, *metadata) = rejected.row
            said |= {"ts": at, "labels": dict(labels)} | ({"metadata": metadata[0]} if metadata else {})
        self._file.write(msgspec.json.encode(said | {"line": rejected.text}) + b"\n")


def _labels(given: list[str]) -> dict[str, str]:
    labels = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            raise BadArgument(f"--label {each!r}: say NAME=VALUE")
        if _LABEL.fullmatch(name) is None:
            raise BadArgument(f"--label {each!r}: {name!r} is not a label's name")
        labels[name] = value
    return labels


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadArgument(f"--zone: there is no time zone {name!r}") from error


def _encoding(name: str) -> str:
    try:
        if "\n".encode(name) != b"\n":
            raise BadArgument(f"--encoding: a newline is more than a byte in {name}")
    except LookupError as error:
        raise BadArgument(f"--encoding: there is no encoding {name!r}") from error
    return "utf-8" if name.lower() in ("utf8", "utf-8") else name
