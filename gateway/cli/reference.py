"""docs/cli.md, made from the commands' own help: `python -m gateway.cli.reference docs/cli.md` writes it anew."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from gateway.cli.app import weir_app
from gateway.cli.exits import MEANINGS

_HEAD = """# The `weir` command

<!-- Made by `python -m gateway.cli.reference docs/cli.md` from the commands' help; change it there. -->

`weir COMMAND --help` says the same on a terminal.

## Exit codes

| code | meaning |
| --- | --- |
"""


def page() -> str:
    """The whole of docs/cli.md."""
    codes = "\n".join(f"| {int(code)} | {meaning} |" for code, meaning in MEANINGS.items())
    root: Any = typer.main.get_command(weir_app())
    sections = [section for name, command in root.commands.items() for section in _sections(f"weir {name}", command)]
    return "\n\n".join([_HEAD + codes, *sections]) + "\n"


def _sections(path: str, command: Any) -> Iterator[str]:
    """One section a command; a group of commands has only theirs."""
    inner = getattr(command, "commands", None)
    if inner is not None:
        for name, each in inner.items():
            yield from _sections(f"{path} {name}", each)
        return
    params = [param for param in command.params if param.name != "help"]
    arguments = [_metavar(param) for param in params if _positional(param)]
    options = ["[OPTIONS]"] if len(params) > len(arguments) else []
    usage = " ".join([path, *arguments, *options])
    rows = "\n".join(_row(param) for param in params)
    table = f"\n\n| | default | environment | |\n| --- | --- | --- | --- |\n{rows}" if rows else ""
    yield f"## `{usage}`\n\n{inspect.cleandoc(command.help)}{table}"


def _positional(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _metavar(param: Any) -> str:
    name = str(param.metavar)
    if param.nargs == -1:
        return f"[{name}]..."
    return name if param.required else f"[{name}]"


def _row(param: Any) -> str:
    if _positional(param):
        name = f"`{_metavar(param)}`"
    else:
        value = "" if _is_switch(param) else f" {param.metavar}".replace("|", "\\|")
        name = ", ".join(f"`{flag}{value}`" for flag in param.opts)
    variables = [param.envvar] if isinstance(param.envvar, str) else param.envvar or []
    default = "" if param.default is None or _is_switch(param) else f"`{param.default}`"
    return f"| {name} | {default} | {', '.join(f'`{each}`' for each in variables)} | {param.help} |"


def _is_switch(param: Any) -> bool:
    return bool(getattr(param, "is_flag", False))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
