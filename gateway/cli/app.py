"""Assembles the `weir` command; the commands themselves are in the files beside this one.

Only the file of the command that is asked for is imported: each costs a few milliseconds before anything happens.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

import typer

_RUN = "Run a server"
_KEEP = "Look after the data"
_ASK = "Ask a server"


@dataclass(frozen=True, slots=True)
class _Command:
    """A command, or a group of them.

    Attributes:
        name: as it is typed.
        module: the file beside this one.
        attribute: the function in it, or the group's typer.Typer.
        panel: under which it stands in the help.
    """

    name: str
    module: str
    attribute: str
    panel: str | None = None

    def add_to(self, app: typer.Typer) -> None:
        """Imports it and puts it in."""
        found = getattr(import_module(f"gateway.cli.{self.module}"), self.attribute)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=self.name, rich_help_panel=self.panel)
        else:
            app.command(self.name, rich_help_panel=self.panel)(found)


_COMMANDS = (
    _Command("serve", "server", "serve", _RUN),
    _Command("config", "server", "config_app", _RUN),
    _Command("notify", "notify", "app", _RUN),
    _Command("keys", "keys", "app", _RUN),
    _Command("collect", "collect", "collect", _RUN),
    _Command("warmup", "server", "warmup", _RUN),
    _Command("verify", "files", "verify", _KEEP),
    _Command("backup", "files", "backup", _KEEP),
    _Command("restore", "files", "restore", _KEEP),
    _Command("compact", "compact", "compact", _KEEP),
    _Command("retention", "retention", "retention", _KEEP),
    _Command("relay", "relay", "app", _KEEP),
    _Command("query", "reads", "query", _ASK),
    _Command("labels", "reads", "labels", _ASK),
    _Command("series", "reads", "series", _ASK),
    _Command("export", "export", "export", _ASK),
    _Command("volume", "volumes", "volume", _ASK),
    _Command("stats", "volumes", "stats", _ASK),
    _Command("why", "why", "why", _ASK),
    _Command("queries", "queries", "queries", _ASK),
    _Command("import", "imports", "import_", _ASK),
    _Command("delete", "deletes", "app", _ASK),
    _Command("version", "server", "version"),
)


def weir_app(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command for these arguments: with the one that they begin with, or with all where that is none."""
    app = typer.Typer(
        name="weir",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        help="A log gateway and store that speaks Loki's API.",
    )
    app.callback()(_nothing)  # else a single command would be the whole app
    asked = [command for command in _COMMANDS if command.name == (arguments[0] if arguments else "")]
    for command in asked or _COMMANDS:
        command.add_to(app)
    return app


def _nothing() -> None:
    return None


def main() -> None:
    """The entry point."""
    weir_app(sys.argv[1:])(prog_name="weir")
