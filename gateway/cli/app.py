"""Assembles the `weir` command; the commands themselves are in the files beside this one."""

from __future__ import annotations

import typer

from gateway.cli import (
    collect,
    compact,
    deletes,
    export,
    files,
    imports,
    keys,
    notify,
    queries,
    reads,
    relay,
    retention,
    server,
    volumes,
    why,
)

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
_KEEP = "Look after the data"
_ASK = "Ask a server"

app.command("serve", rich_help_panel=_RUN)(server.serve)
app.add_typer(server.config_app, name="config", rich_help_panel=_RUN)
app.add_typer(notify.app, name="notify", rich_help_panel=_RUN)
app.add_typer(keys.app, name="keys", rich_help_panel=_RUN)
app.command("collect", rich_help_panel=_RUN)(collect.collect)
app.command("warmup", rich_help_panel=_RUN)(server.warmup)
app.command("verify", rich_help_panel=_KEEP)(files.verify)
app.command("backup", rich_help_panel=_KEEP)(files.backup)
app.command("restore", rich_help_panel=_KEEP)(files.restore)
app.command("compact", rich_help_panel=_KEEP)(compact.compact)
app.command("retention", rich_help_panel=_KEEP)(retention.retention)
app.add_typer(relay.app, name="relay", rich_help_panel=_KEEP)
app.command("query", rich_help_panel=_ASK)(reads.query)
app.command("labels", rich_help_panel=_ASK)(reads.labels)
app.command("series", rich_help_panel=_ASK)(reads.series)
app.command("export", rich_help_panel=_ASK)(export.export)
app.command("volume", rich_help_panel=_ASK)(volumes.volume)
app.command("stats", rich_help_panel=_ASK)(volumes.stats)
app.command("why", rich_help_panel=_ASK)(why.why)
app.command("queries", rich_help_panel=_ASK)(queries.queries)
app.command("import", rich_help_panel=_ASK)(imports.import_)
app.add_typer(deletes.app, name="delete", rich_help_panel=_ASK)
app.command("version")(server.version)


def main() -> None:
    """The entry point."""
    app(prog_name="weir")
