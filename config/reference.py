"""The tables of docs/settings.md, made from the model and from the mapping of Loki's files.

`python -m config.reference docs/settings.md` writes them anew between the marks that stand in the page.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from config.limits import Limits
from config.loki import DIRECTORIES, MAPPED, loki_limits
from config.lokikeys import REFUSED
from config.schema import KeyPath, dotted, group_of, kind_of, variable
from config.settings import Settings

_OF_THE_MACHINE: Mapping[KeyPath, str] = {
    ("query", "threads"): "the cores there are",
    ("instance_name",): "the name of the machine",
}
"""Defaults that differ from machine to machine."""


@cache
def meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """The text under each field of a model. Read from the source: at run time nobody needs it."""
    found: dict[str, str] = {}
    for base in model.__bases__:
        if issubclass(base, BaseModel) and base is not BaseModel:
            found.update(meanings(base))
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)  # what getsource gives for a class
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as meaning)),
            ):
                found[name] = " ".join(meaning.split())
    return found


def settings_table() -> str:
    """Every setting with what it holds, its default, its variable and its meaning, group by group."""
    return "\n\n".join([_table(_rows(Settings, ())), *_group_tables(Settings, ())])


def _group_tables(model: type[BaseModel], above: KeyPath) -> Iterator[str]:
    for name, field in model.model_fields.items():
        group, path = group_of(field), (*above, name)
        if group is not None:
            about = (inspect.getdoc(group) or "").splitlines()[0]
            yield f"### {dotted(path)}\n\n{about}\n\n{_table(_rows(group, path))}"
            yield from _group_tables(group, path)


def _rows(model: type[BaseModel], above: KeyPath) -> Iterator[tuple[str, ...]]:
    defaults = model().model_dump(mode="json")
    loki = {leaf.path: leaf.value for leaf in loki_limits().leaves}
    yield _row("setting", "holds", "default", "with a Loki file" if model is Limits else None, "variable", "meaning")
    for name, field in model.model_fields.items():
        path = (*above, name)
        if group_of(field) is not None:
            continue
        default = _OF_THE_MACHINE.get(path) or _shown(defaults[name])
        changed = _shown(loki[path]) if path in loki else ""
        shown = ("overrides", "TENANT", "LIMIT") if path == ("overrides",) else path
        yield _row(
            f"`{dotted(shown)}`",
            kind_of(field).name,
            default,
            changed if model is Limits else None,
            f"`{variable(shown)}`",
            meanings(model)[name],
        )


def _row(*cells: str | None) -> tuple[str, ...]:
    return tuple(cell for cell in cells if cell is not None)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value) or "none"
    if value is None:
        return "none"
    return "empty" if value in ("", {}) else f"`{value}`"


def loki_table() -> str:
    """What becomes of each key of Loki's that has a use here."""
    rows = [("in Loki's file", "here", "")]
    rows += [(f"`{row.key}`", f"`{dotted(row.path)}`", row.meaning) for row in MAPPED]
    rows += [
        ("`server.http_listen_address`, `http_listen_port`", "`server.http`", "every interface and 3100 unless said"),
        ("`server.http_listen_conn_limit`", "`server.max_connections`", "0 leaves it at ours"),
        (
            ", else ".join(f"`{key}`" for key in DIRECTORIES),
            "`data_dir`",
            "the folder `weir` in it; what Loki stored is not read",
        ),
        ("`limits_config.*`", "`limits.*`", "of the same name"),
        ("`limits_config.retention_period`", "`retention.period`", "if `compactor.retention_enabled`"),
        ("`limits_config.retention_stream`", "`limits.retention_stream`", "likewise"),
        (
            "`table_manager.retention_period`",
            "`retention.period`",
            "old place; if `table_manager.retention_deletes_enabled`",
        ),
        (
            "`runtime_config.file`, `limits_config.per_tenant_override_config`",
            "`overrides.*`",
            "the `overrides` in that file, read again when it changes",
        ),
    ]
    return _table(iter(rows))


def refused_table() -> str:
    """The keys that a Loki file may not have, other than with a value that asks for nothing."""
    return _table(iter([("key", "why"), *((f"`{key}`", refusal.why) for key, refusal in REFUSED.items())]))


def _table(rows: Iterator[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows]
    columns = lines[0].count(" | ") + 1
    return "\n".join([lines[0], "|" + " --- |" * columns, *lines[1:]])


def between_marks(page: str, tables: Mapping[str, str]) -> str:
    """A page with each of the tables that it has marks for between them."""
    for name, table in tables.items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        if begin:
            _, end, after = rest.partition(f"<!-- end of {name} -->")
            page = f"{before}{begin}\n{table}\n\n{end}{after}"
    return page


def with_tables(page: str) -> str:
    """The page of settings with its tables made anew."""
    return between_marks(page, {"settings": settings_table(), "loki": loki_table(), "refused": refused_table()})


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
