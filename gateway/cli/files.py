"""Commands on files rather than on a server: `weir verify`, `backup`, `restore`.

Everything heavy is imported inside the command that needs it: the client commands live in the same program.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.exits import Exit, exit_codes, leave, say
from gateway.cli.explain import size_text
from gateway.cli.options import DataDir
from gateway.cli.progress import Bar
from gateway.cli.server import load_settings


def verify(
    data_dir: DataDir = None,
    *,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Also make the index (index.db) anew from the blocks' footers.")
    ] = False,
) -> None:
    """Read all data of a stopped server, or of a backup, and check it against its checksums.

    Examples:
    ```
    weir verify --data-dir ./data
    weir verify --data-dir ./data --rebuild
    weir verify --data-dir /backups/monday
    ```
    """
    folder = _existing(data_dir)
    with failures("the check"), Bar("checked") as bar:
        from storage.verify import verify as check  # noqa: PLC0415 - numba and pyarrow come with storage

        result = check(folder, rebuild=rebuild, report=bar.show)
    what = f"backup of {result.made}: " if result.made else ""
    log = f"{result.segments} WAL segments ({result.records} records)"
    typer.echo(f"{what}read {log} and {result.blocks} blocks: {result.rows} entries")
    for problem in result.problems:
        say(problem)
    if result.problems:
        leave(Exit.REFUSED, f"problems found: {len(result.problems)}")


def backup(
    target: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where the backup is made: a folder that is empty or not there.")
    ],
    data_dir: DataDir = None,
) -> None:
    """Back up a data directory, whether a server is using it or not.

    Blocks are hard links where DIR is on the same file system (no space, no time), else copies. Everything that
    was acknowledged before the command began is in the backup.

    Examples:
    ```
    weir backup /backups/monday --data-dir /var/lib/weir
    ```
    """
    folder = _existing(data_dir)
    with failures("the backup"), Bar("backed up") as bar:
        from storage.backup import backup as run  # noqa: PLC0415 - numba and pyarrow come with storage

        result = run(folder, target, bar.show)
    manifest = result.manifest
    blocks = manifest.count("blocks")
    linked = f", {result.linked} of them linked" if result.linked else ""
    typer.echo(
        f"backed up {folder} to {target}: {size_text(manifest.size)}, {blocks} blocks{linked}, "
        f"{manifest.count('wal')} WAL segments"
    )
    for problem in result.problems:
        say(problem)
    if result.problems:
        leave(Exit.REFUSED, f"the backup is made, but the data directory has problems: {len(result.problems)}")


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A backup.")],
    data_dir: DataDir = None,
    *,
    allow_damage: Annotated[
        bool,
        typer.Option("--allow-damage", help="Restore a damaged backup too: files as they are, without missing ones."),
    ] = False,
) -> None:
    """Make a data directory of a backup; it must be empty or not there, and no server may be using it.

    Every file is copied and checked. If one is damaged, nothing is restored.

    Examples:
    ```
    weir restore /backups/monday --data-dir /var/lib/weir
    weir restore /backups/monday --data-dir /var/lib/weir --allow-damage
    ```
    """
    folder = data_folder(data_dir)
    with failures("the restore"):
        from storage.manifest import read_manifest  # noqa: PLC0415 - numba and pyarrow come with storage
        from storage.restore import restore as run  # noqa: PLC0415 - as above

        manifest = read_manifest(source)
    typer.echo(
        f"backup of {manifest.made}: {size_text(manifest.size)}, {manifest.count('blocks')} blocks, "
        f"{manifest.count('wal')} WAL segments"
    )
    with failures("the restore"), Bar("restored") as bar:
        problems = run(source, manifest, folder, allow_damage=allow_damage, report=bar.show)
    for problem in problems:
        say(problem)
    typer.echo(f"restored to {folder}")
    if problems:
        leave(Exit.PARTIAL, f"files that are not as they were backed up: {len(problems)}")


@contextmanager
def failures(what: str) -> Iterator[None]:
    """Ends the command in plain words where files or their state do not let it go on."""
    from storage.errors import StorageError  # noqa: PLC0415 - numba and pyarrow come with storage

    with exit_codes():
        try:
            yield
        except StorageError as error:
            leave(Exit.REFUSED, str(error))
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            leave(Exit.REFUSED, f"{what} failed: {error.strerror or error}{where}")


def data_folder(data_dir: Path | None) -> Path:
    """The data directory of a command."""
    overrides = [] if data_dir is None else [("data_dir", str(data_dir))]
    return load_settings(None, overrides, None).settings.data_dir


def _existing(data_dir: Path | None) -> Path:
    folder = data_folder(data_dir)
    if not folder.is_dir():
        leave(Exit.USAGE, f"there is no data directory {folder}")
    return folder
