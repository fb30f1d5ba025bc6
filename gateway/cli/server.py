"""Commands of whoever runs a server: `weir serve`, `config`, `warmup`, `version`.

Everything heavy is imported inside the command that needs it: the client commands live in the same program.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.exits import Exit, leave
from gateway.cli.options import ConfigFile, DataDir, Profile, Set

if TYPE_CHECKING:
    from config import LoadedSettings

config_app = typer.Typer(no_args_is_help=True, help="Check or show the configuration.")


def serve(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    http: Annotated[
        str | None,
        typer.Option("--http", metavar="HOST:PORT", help="Where to listen (setting `server.http`); port 0 picks one."),
    ] = None,
    forward: Annotated[
        str | None,
        typer.Option(
            "--forward",
            metavar="HOST:PORT|off",
            help="Where to listen for Fluent Forward (setting `forward.listen`); else port 24224, if it is free.",
        ),
    ] = None,
    profile: Profile = None,
    set_: Set = None,
) -> None:
    """Run the server until it is told to stop (SIGTERM or Ctrl-C).

    Flags go over environment variables (`WEIR_SERVER__HTTP=...`), those over the file, that over the profile.

    Examples:
    ```
    weir serve
    weir serve --data-dir /var/lib/weir --http 0.0.0.0:3100
    weir serve --forward 0.0.0.0:24224
    weir serve --config loki.yaml --set memtable.size=128MB
    ```
    """
    overrides = pairs(set_)
    if data_dir is not None:
        overrides.append(("--data-dir", str(data_dir)))
    if http is not None:
        overrides.append(("--http", http))
    if forward is not None:
        overrides.append(("--forward", forward))
    loaded = load_settings(config, overrides, profile)
    from gateway.overrides import OverridesSource  # noqa: PLC0415 - as below
    from gateway.serve import serve as run  # noqa: PLC0415 - brings numba and pyarrow

    watched = None
    if loaded.overrides_files:
        from config import load  # noqa: PLC0415 - pydantic

        again = partial(load, config, overrides, dict(os.environ), profile, Path.cwd())
        watched = OverridesSource(loaded.overrides_files, lambda: again().settings)
    raise typer.Exit(run(loaded.settings, loaded.notes, watched))


@config_app.command("check")
def config_check(config: ConfigFile = None, profile: Profile = None, set_: Set = None) -> None:
    """Say whether the configuration is one the server would start with, and what in it is not used.

    Examples:
    ```
    weir config check --config weir.yml
    weir config check --config loki.yaml
    ```
    """
    loaded = load_settings(config, pairs(set_), profile)
    for note in loaded.notes:
        typer.echo(note)
    typer.echo("the configuration is valid")


@config_app.command("show")
def config_show(
    config: ConfigFile = None,
    profile: Profile = None,
    set_: Set = None,
    *,
    diff: Annotated[bool, typer.Option("--diff", help="Only what differs from the defaults.")] = False,
) -> None:
    """Print every setting in force as YAML, secrets masked.

    Examples:
    ```
    weir config show --config weir.yml
    weir config show --config loki.yaml --diff
    ```
    """
    from config import dump_yaml  # noqa: PLC0415 - pydantic

    loaded = load_settings(config, pairs(set_), profile)
    typer.echo(dump_yaml(loaded.settings, mode="diff" if diff else "full"), nl=False)


def warmup() -> None:
    """Compile the kernels ahead of the first start, so that a server starts at once.

    Examples:
    ```
    weir warmup
    ```
    """
    from storage.kernels.cache import warmup as compile_kernels  # noqa: PLC0415 - numba

    compile_kernels()


def version() -> None:
    """Print the version.

    Examples:
    ```
    weir version
    ```
    """
    from importlib.metadata import PackageNotFoundError  # noqa: PLC0415 - other commands need not wait for it
    from importlib.metadata import version as installed  # noqa: PLC0415 - as above

    try:
        typer.echo(f"weir {installed('weir')}")
    except PackageNotFoundError:
        leave(Exit.REFUSED, "weir is not installed: this runs from a source folder")


def pairs(sets: Sequence[str] | None) -> list[tuple[str, str]]:
    """What `--set path=value` says. Ends the command for one that says nothing."""
    found: list[tuple[str, str]] = []
    for text in sets or ():
        path, equals, value = text.partition("=")
        if not (path and equals):
            leave(Exit.USAGE, f"--set {text}: give path=value, for instance memtable.size=128MB")
        found.append((path, value))
    return found


def load_settings(config: Path | None, overrides: Sequence[tuple[str, str]], profile: str | None) -> LoadedSettings:
    """The settings in force; what is wrong with them ends the command."""
    from config import ConfigError, load  # noqa: PLC0415 - pydantic

    try:
        loaded = load(config, overrides, os.environ, profile, Path.cwd())
        if loaded.settings.has_stream_rules:
            from gateway.retention_rules import retention_options  # noqa: PLC0415 - brings the parser and numpy

            retention_options(loaded.settings)
        if loaded.settings.has_relays:
            from gateway.relay.build import check_relays  # noqa: PLC0415 - as above

            check_relays(loaded.settings)
    except ConfigError as error:
        leave(Exit.USAGE, str(error))
    return loaded
