"""`weir notify test`: whether notifiers can be reached, before there is something to tell them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import typer

from gateway.cli.exits import Exit
from gateway.cli.options import ConfigFile, Profile, Set
from gateway.cli.server import load_settings, pairs
from gateway.cli.terminal import escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.notify import Notifier

app = typer.Typer(no_args_is_help=True, help="Who is told when something is wrong.")


@app.callback()
def notify() -> None:
    """Who is told when something is wrong."""


@app.command("test")
def send_test(config: ConfigFile = None, profile: Profile = None, set_: Set = None) -> None:
    """Send a test alert, and its end, through each notifier of the configuration.

    Needs no server; give it the flags that the server gets.

    Examples:
    ```
    weir notify test --config weir.yml
    ```
    """
    settings = load_settings(config, pairs(set_), profile).settings
    if not settings.notify:
        typer.echo("no notifiers are set (setting notify)", err=True)
        raise typer.Exit(Exit.USAGE)
    import asyncio  # noqa: PLC0415 - a fifth of a command's start-up: only paid where it is used

    wrong = asyncio.run(_tell(settings.notify))
    for notifier, reason in zip(settings.notify, wrong, strict=True):
        said = f"could not be told: {reason}" if reason else "was told of a test alert, and of its end"
        typer.echo(f"{notifier.label()}: {escape_controls(said)}", err=bool(reason))
    if any(wrong):
        raise typer.Exit(Exit.REFUSED)


async def _tell(notifiers: Sequence[Notifier]) -> list[str]:
    import asyncio  # noqa: PLC0415 - other commands need not wait for it

    from gateway.notify import tell_once  # noqa: PLC0415 - as above

    return list(await asyncio.gather(*(tell_once(each, socket.gethostname()) for each in notifiers)))
