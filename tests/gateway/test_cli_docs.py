from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from gateway.cli.app import weir_app
from gateway.cli.reference import page

DOCS = Path(__file__).parent.parent.parent / "docs" / "cli.md"


def commands(group: Any, path: str = "weir") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        inner = commands(command, f"{path} {name}") if hasattr(command, "commands") else {f"{path} {name}": command}
        found |= inner
    return found


def test_the_page_is_what_the_help_says() -> None:
    assert DOCS.read_text("utf-8") == page(), "run: python -m gateway.cli.reference docs/cli.md"


def test_every_command_and_flag_is_on_the_page_with_an_example() -> None:
    text = page()
    for path, command in commands(typer.main.get_command(weir_app())).items():
        section = text.split(f"## `{path}", 1)[1].split("\n## ", 1)[0]
        assert f"\n{path}" in section, f"{path} has no example"
        for param in command.params:
            if param.name == "help":
                continue
            assert param.help, f"{path} {param.name} has no help"
            assert param.help in section
            if param.param_type_name == "option":
                assert all(f"`{flag}" in section for flag in param.opts)


def test_every_example_is_a_command_line_that_parses() -> None:
    known = commands(typer.main.get_command(weir_app()))
    for path, command in known.items():
        for example in (line for line in command.help.splitlines() if line.startswith("weir ")):
            words = example.split()
            assert example.startswith(path)
            flags = [word for word in words if word.startswith("-") and word != "-r"]
            offered = {flag for param in command.params for flag in param.opts}
            assert set(flags) <= offered, example
