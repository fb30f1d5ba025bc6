"""`weir collect`: log files followed and sent to a server."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.access import with_access
from gateway.cli.exits import Exit, exit_codes, leave, say
from gateway.cli.explain import size_text
from gateway.cli.options import DEFAULT_ADDR, ConfigFile, OrgId
from gateway.client.access import ANONYMOUS, Access

if TYPE_CHECKING:
    from config.collector import Collector as Settings
    from gateway.collect.figures import CollectorFigures

_FILES = "Which files"
_READ = "How they are read"


class _Format(StrEnum):
    AUTO = "auto"
    TEXT = "text"
    DOCKER = "docker"
    CRI = "cri"


class _Time(StrEnum):
    READ = "read"
    LINE = "line"


@with_access
def collect(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Files, folders with all that is in them, globs; `**` is any folders."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "--addr",
            metavar="URL",
            envvar=["WEIR_ADDR", "LOKI_ADDR"],
            help=f"The server, with a path prefix if it has one; else `collector.url`, else {DEFAULT_ADDR}.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            "-l",
            metavar="NAME=VALUE",
            help="A label for every line; may be repeated. There are `filename`, `host` and `job=collect` besides; "
            "an empty value takes one of these away.",
        ),
    ] = None,
    config: ConfigFile = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            help="Paths or names that are left out; may be repeated.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    *,
    from_end: Annotated[
        bool,
        typer.Option(
            "--from-end",
            help="Pass over what is in the files when they are first looked at.",
            rich_help_panel=_FILES,
        ),
    ] = False,
    once: Annotated[
        bool,
        typer.Option("--once", help="End when all that is there now is stored.", rich_help_panel=_FILES),
    ] = False,
    form: Annotated[
        _Format | None,
        typer.Option(
            "--format",
            metavar="|".join(_Format),
            help="What files are: a line a record, Docker's json-file, the form of CRI (Kubernetes); `auto` looks "
            "at each file's first line.",
            rich_help_panel=_READ,
        ),
    ] = None,
    multiline: Annotated[
        str | None,
        typer.Option(
            "--multiline",
            metavar="python|java|go|PATTERN",
            help="Which lines are one record: stack traces of a language, or a pattern (RE2) of a record's first line.",
            rich_help_panel=_READ,
        ),
    ] = None,
    time_of: Annotated[
        _Time | None,
        typer.Option(
            "--time",
            metavar="|".join(_Time),
            help="`read`: the time of reading; `line`: one that is found in the line. Lines of containers have theirs.",
            rich_help_panel=_READ,
        ),
    ] = None,
    org_id: OrgId = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Where it is noted how far each file is; else a folder for this server and tenant below "
            "~/.local/state/weir.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    access: Access = ANONYMOUS,
) -> None:
    """Follow log files and send their lines to a server, each of them once.

    New files are found, renamed and truncated ones followed, gzip files read, unless they are the packed form of one
    that was. It goes on where it was, however it or the server ended. `--config` takes a Weir settings file, of which
    the group `collector` counts: labels and formats by path stand there.

    Examples:
    ```
    weir collect /var/log/nginx --to http://logs:3100 --label job=nginx
    weir collect '/var/log/**/*.log' --exclude '*debug*' --from-end
    weir collect '/var/lib/docker/containers/*/*-json.log' --format docker --to https://logs --key weir_...
    weir collect app.log --multiline java --label app=shop
    weir collect --config collect.yml
    ```
    """
    with exit_codes():
        given = {
            "exclude": exclude,
            "format": form,
            "multiline": multiline,
            "time": time_of,
            "start": "end" if from_end else None,
            "tenant": org_id,
            "api_key": access.key,
            "tls_ca": access.ca,
            "tls_cert": access.cert,
            "tls_key": access.client_key,
            "tls_insecure": access.insecure or None,
            "url": to,
        }
        settings = _settings(config, list(paths or ()), label or [], given)
        if not settings.is_on:
            leave(Exit.USAGE, "nothing to follow: give a PATH, or collector.paths in --config FILE")
        try:
            _run(settings, state, once=once)
        except OSError as error:
            leave(Exit.REFUSED, f"cannot note how far files are, in {error.filename}: {error.strerror}")


def _settings(config: Path | None, paths: list[str], labels: list[str], given: dict[str, Any]) -> Settings:
    """The group `collector` of a file and the environment, with what is said on the command line over it."""
    from gateway.cli.server import load_settings  # noqa: PLC0415 - pydantic

    found = load_settings(config, [], None).settings.collector
    changed = {name: value for name, value in given.items() if value is not None}
    if paths:
        changed |= {"paths": paths, "sources": ()}
    if labels:
        pairs = [each.partition("=") for each in labels]
        for (name, equals, _), text in zip(pairs, labels, strict=True):
            if not (name and equals):
                leave(Exit.USAGE, f"--label {text!r}: say NAME=VALUE")
        changed["labels"] = found.labels | {name: value for name, _, value in pairs}
    said = {name: getattr(found, name) for name in found.model_fields_set}
    return type(found).model_validate({**said, **changed})


def _run(settings: Settings, state: Path | None, *, once: bool) -> None:
    from gateway import logs  # noqa: PLC0415 - as below
    from gateway.allocator import keep_freed_memory  # noqa: PLC0415 - as below
    from gateway.collect.figures import CollectorFigures  # noqa: PLC0415 - as below
    from gateway.collect.making import collector_of, target_of_settings  # noqa: PLC0415 - brings numpy
    from gateway.collect.push import HttpDelivery  # noqa: PLC0415 - as above

    url = settings.url or DEFAULT_ADDR
    target = target_of_settings(settings, url)
    folder = state or (Path(settings.state) if settings.state else _state_folder(url, settings.tenant))
    keep_freed_memory()
    logs.configure("info", "text", lambda _level: None)
    watching = _Line() if sys.stderr.isatty() else None
    figures = CollectorFigures()

    def show() -> None:
        if watching is not None:
            watching.show(figures)

    made = collector_of(settings, folder, lambda: HttpDelivery(target), figures=figures, once=once, shown=show)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: made.stop())
    made.run()
    if watching is not None:
        watching.end()
    stored = f"stored {figures.lines - figures.refused:,} lines of {size_text(figures.read)} that were read"
    say(f"{stored}; the server refused {figures.refused:,}" if figures.refused else stored)
    if figures.unsent:
        say(f"batches that wait in {folder} for the next run: {figures.unsent}")
    if once and (figures.refused or figures.errors):
        raise typer.Exit(Exit.PARTIAL)


def _state_folder(url: str, tenant: str) -> Path:
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "weir" / f"collect-{hashlib.sha256(f'{url} {tenant}'.encode()).hexdigest()[:12]}"


class _Line:
    """One line on a terminal that is written over."""

    def show(self, figures: CollectorFigures) -> None:
        """The figures as they are."""
        wait = f", {figures.unsent} batches on their way" if figures.unsent else ""
        text = (
            f"{figures.files} files, {figures.lines:,} lines, {size_text(figures.read)} read, "
            f"{size_text(figures.backlog)} behind{wait}"
        )
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    def end(self) -> None:
        """Leaves it."""
        sys.stderr.write("\n")
