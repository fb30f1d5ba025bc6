"""Assembles the `weir` command; the commands themselves are in the files beside this one."""

from __future__ import annotations

import typer

from gateway.cli import reads, server

app = typer.Typer(
    name="weir",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="A log gateway and store that speaks Loki's API.",
)

_RUN = "Run a server"
_ASK = "Ask a server"

app.command("serve", rich_help_panel=_RUN)(server.serve)
app.add_typer(server.config_app, name="config", rich_help_panel=_RUN)
app.command("verify", rich_help_panel=_RUN)(server.verify)
app.command("warmup", rich_help_panel=_RUN)(server.warmup)
app.command("query", rich_help_panel=_ASK)(reads.query)
app.command("labels", rich_help_panel=_ASK)(reads.labels)
app.command("series", rich_help_panel=_ASK)(reads.series)
app.command("version")(server.version)


def main() -> None:
    """The entry point."""
    app(prog_name="weir")
