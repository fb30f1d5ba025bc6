"""`weir retention`: what retention removes from a data directory, or would.

Everything heavy is imported inside the command: the client commands live in the same program.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.exits import Exit, leave, say
from gateway.cli.explain import size_text
from gateway.cli.files import failures
from gateway.cli.options import ConfigFile, DataDir, Profile, Set
from gateway.cli.output import local_time
from gateway.cli.server import load_settings, pairs

if TYPE_CHECKING:
    from pathlib import Path

    from config import Settings
    from storage.retention_report import BlockShare, RetentionReport, RuleShare

_REASONS = {
    "age": "has expired whole",
    "total_size": "is over retention.max_total_size",
    "free_space": "goes for retention.min_free_space",
}


def retention(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    profile: Profile = None,
    set_: Set = None,
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would be removed; a server may be running. Reads blocks only."),
    ] = False,
) -> None:
    """Remove what has expired from the data directory of a stopped server, or say what that is.

    A server does it by itself, and what has expired is in no answer of it. Give the settings that it has: `--config`,
    or the same variables. Entries that are in the write-ahead log only are not counted, nor those that a delete hides.

    Examples:
    ```
    weir retention --dry-run --config weir.yml
    weir retention --dry-run --set retention.period=30d
    weir retention --config weir.yml
    ```
    """
    overrides = pairs(set_)
    if data_dir is not None:
        overrides.append(("--data-dir", str(data_dir)))
    settings = load_settings(config, overrides, profile).settings
    folder = settings.data_dir
    if not (folder / "origin").exists():
        leave(Exit.USAGE, f"{folder} is not a data directory of Weir: it has no file `origin`")
    with failures("retention"):
        from gateway.deletes import read_delete  # noqa: PLC0415 - as below
        from gateway.retention_rules import retention_options  # noqa: PLC0415 - numba and pyarrow come with storage
        from storage.retention_report import retention_report  # noqa: PLC0415 - as above

        options = retention_options(settings)
        if options.keep_everything:
            typer.echo("nothing ever expires: no retention is set")
            return
        if not dry_run:
            _carry_out(settings, folder)
            return
        report = retention_report(folder, options, compiler=read_delete)
    for line in _lines(report, settings):
        typer.echo(line)
    if report.problems:
        for problem in report.problems:
            say(problem)
        leave(Exit.REFUSED, f"blocks that could not be read: {len(report.problems)}")


def _carry_out(settings: Settings, folder: Path) -> None:
    from gateway.store_options import store_options  # noqa: PLC0415 - as above
    from storage import open_store  # noqa: PLC0415 - as above
    from storage.errors import DirectoryLocked  # noqa: PLC0415 - as above

    try:
        options = store_options(settings)
        store = open_store(folder, replace(options, compaction=replace(options.compaction, enabled=False)))
    except DirectoryLocked as error:
        leave(Exit.REFUSED, f"{error}. A server that runs removes what has expired by itself; --dry-run says what")
    try:
        store.flush()
        found = store.remove_expired()
    finally:
        store.close()
    typer.echo(
        f"removed {found.blocks:,} blocks of {size_text(found.bytes)}, and {found.rows:,} expired entries from "
        f"{found.rewritten:,} others"
    )


def _lines(report: RetentionReport, settings: Settings) -> Iterator[str]:
    yield f"as of {local_time(report.now)}, by the clock of this machine"
    if report.rules:
        yield ""
        yield from _table(
            ("tenant", "rule", "period", "streams", "entries", "bytes", "oldest"),
            [_rule(share, settings) for share in report.rules],
        )
    blocks = [share for share in report.blocks if share.blocks]
    if blocks or report.partly:
        yield ""
    for share in blocks:
        yield _block(share)
    if report.partly:
        yield f"{report.partly:,} other blocks have expired entries among others"
    if not (report.rules or blocks):
        yield "nothing is to be removed"
    if report.log_bytes:
        yield f"not counted: the write-ahead log, {size_text(report.log_bytes)}"


def _rule(share: RuleShare, settings: Settings) -> tuple[str, ...]:
    from config.units import format_duration  # noqa: PLC0415 - pydantic

    return (
        share.tenant,
        _setting(share.tenant, settings)
        if share.rule is None
        else f"{share.rule.selector} (priority {share.rule.priority})",
        format_duration(share.period),
        f"{share.streams:,}",
        f"{share.rows:,}",
        size_text(share.bytes),
        "" if share.oldest is None else local_time(share.oldest),
    )


def _setting(tenant: str, settings: Settings) -> str:
    """Which one says how long what no rule names is kept."""
    own = settings.overrides.get(tenant)
    if own is not None and "retention_period" in own.model_fields_set:
        return f"overrides.{tenant}.retention_period"
    return "retention.period" if settings.limits.retention_period is None else "limits.retention_period"


def _block(share: BlockShare) -> str:
    oldest = "" if share.oldest is None else f", the oldest of {local_time(share.oldest)}"
    blocks = f"{share.blocks:,} block{'s' if share.blocks > 1 else ''}"
    return (
        f"{blocks} of {share.rows:,} entries, {size_text(share.bytes)} on disk{oldest}: {_REASONS[share.reason.value]}"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows with columns under each other; numbers on the right."""
    every = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    numbers = {"streams", "entries", "bytes"}
    for row in every:
        cells = [
            cell.rjust(width) if name in numbers else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()
