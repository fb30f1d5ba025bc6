"""Flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

_SERVER = "Which server"
_WINDOW = "Which time"

Addr: TypeAlias = Annotated[
    str,
    typer.Option(
        "--addr",
        metavar="URL",
        envvar=["WEIR_ADDR", "LOKI_ADDR"],
        help="The server, with a path prefix and `user:password@` if it has them.",
        rich_help_panel=_SERVER,
    ),
]
DEFAULT_ADDR = "http://127.0.0.1:3100"

OrgId: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--org-id",
        metavar="TENANT",
        envvar=["WEIR_ORG_ID", "LOKI_ORG_ID"],
        help="The tenant, sent as X-Scope-OrgID.",
        rich_help_panel=_SERVER,
    ),
]

Since: TypeAlias = Annotated[
    str,
    typer.Option(
        "--since",
        metavar="DURATION",
        help="How far back from the end (or now, if that is earlier): 90s, 1h30m, 7d.",
        rich_help_panel=_WINDOW,
    ),
]
From: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Start, included: RFC 3339 or a Unix time in s or ns. Beats --since.",
        rich_help_panel=_WINDOW,
    ),
]
To: TypeAlias = Annotated[
    str | None,
    typer.Option("--to", metavar="TIME", help="End, excluded. Now, if it is not given.", rich_help_panel=_WINDOW),
]

ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A YAML file: Weir's settings, or a Loki configuration (it is told by its keys).",
    ),
]
Set: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="One setting, for instance `memtable.size=128MB`; may be repeated."
    ),
]
Profile: TypeAlias = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="A set of defaults: `small` is for machines with little memory."),
]
DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help="Where the data lives (setting `data_dir`)."),
]
