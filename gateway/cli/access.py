"""The flags of commands that speak with a server about who they are: `--key`, and TLS.

They are many and mean the same everywhere, so a decorator adds them; a command gets one `access` of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from gateway.client.access import Access

_PANEL = "Which server"

_OPTIONS: dict[str, tuple[Any, Any]] = {
    "key": (
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar=["WEIR_KEY", "LOKI_BEARER_TOKEN"],
            help="The key to send (`weir keys create`). In the variable it is in no list of processes.",
            rich_help_panel=_PANEL,
        ),
    ),
    "ca": (
        str | None,
        typer.Option(
            "--ca",
            metavar="FILE",
            envvar=["WEIR_CA", "LOKI_CA_CERT_PATH"],
            help="Authorities (PEM) to check the server's certificate against, in place of the system's.",
            rich_help_panel=_PANEL,
        ),
    ),
    "cert": (
        str | None,
        typer.Option(
            "--cert",
            metavar="FILE",
            envvar=["WEIR_CERT", "LOKI_CLIENT_CERT_PATH"],
            help="A certificate (PEM) to show to the server.",
            rich_help_panel=_PANEL,
        ),
    ),
    "client_key": (
        str | None,
        typer.Option(
            "--client-key",
            metavar="FILE",
            envvar=["WEIR_CLIENT_KEY", "LOKI_CLIENT_KEY_PATH"],
            help="Its key (PEM), if that is not in the same file.",
            rich_help_panel=_PANEL,
        ),
    ),
    "insecure": (
        bool,
        typer.Option(
            "--insecure",
            envvar=["WEIR_INSECURE", "LOKI_TLS_SKIP_VERIFY"],
            help="Take any certificate for the server's: for tests alone.",
            rich_help_panel=_PANEL,
        ),
    ),
}


_ADDED = [
    inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=False if kind is bool else None,
        annotation=Annotated[kind, option],
    )
    for name, (kind, option) in _OPTIONS.items()
]


def with_access(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose `access: Access` comes from these flags."""

    def run(*args: Any, **given: Any) -> None:
        access = Access(**{name: given.pop(name) for name in _OPTIONS})
        command(*args, **given, access=access)

    own = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    kept = [each.replace(annotation=hints[name]) for name, each in own.parameters.items() if name != "access"]
    run.__name__, run.__qualname__, run.__doc__ = command.__name__, command.__qualname__, command.__doc__
    run.__module__ = command.__module__
    run.__annotations__ = {each.name: each.annotation for each in (*kept, *_ADDED)}
    run.__signature__ = own.replace(parameters=[*kept, *_ADDED])  # type: ignore[attr-defined]
    return run
