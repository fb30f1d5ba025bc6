"""The tables of docs/emitters.md and docs/notifiers.md: what each kind of a list of things may have.

`python -m config.item_reference docs/emitters.md docs/notifiers.md` writes them anew between the marks in the pages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from config.aggregator import NAMES
from config.emitters import BlackholeEmitter, FileEmitter, LokiEmitter, StdoutEmitter
from config.notify import PagerDuty, Slack, Webhook
from config.reference import between_marks, meanings
from config.units import format_duration, format_size

_KINDS: Final[Mapping[str, tuple[type[BaseModel], ...]]] = {
    "emitters": (FileEmitter, StdoutEmitter, LokiEmitter, BlackholeEmitter),
    "notifiers": (PagerDuty, Slack, Webhook),
}
_DURATIONS: Final = {"minimum_publish_frequency", "rotate_every", "timeout", "repeat"}
_SIZES: Final = {"max_backlog", "rotate_size"}


def tables_of(which: str) -> dict[str, str]:
    """By mark, the tables of emitters or notifiers: what all kinds have, and what each has beside it."""
    kinds = _KINDS[which]
    base = kinds[0].__bases__[0]
    assert issubclass(base, BaseModel)
    shared = base.model_fields
    found = {"all": _table(kinds[0], list(shared))}
    for kind in kinds:
        name = kind.model_fields["kind"].annotation.__args__[0]  # type: ignore[union-attr]
        own = [field for field in kind.model_fields if field not in shared and field != "kind"]
        if own:
            found[name] = _table(kind, own)
    return found


def variables_table() -> str:
    """What becomes of each AGGREGATOR_*."""
    return "\n".join(
        ["| variable | here |", "| --- | --- |", *(f"| `{name}` | {what} |" for name, what in NAMES.items())]
    )


def _table(model: type[BaseModel], names: list[str]) -> str:
    told = meanings(model)
    rows = [f"| `{name}` | {_default(model, name)} | {told[name]} |" for name in names]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows])


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "needed"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name in _DURATIONS and value is not None:
        return f"`{format_duration(value) if value else 0}`"
    if name in _SIZES:
        return f"`{format_size(value)}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    if value is None or value in ("", {}) or isinstance(value, BaseModel):
        return "empty"
    return f"`{value}`"


def with_tables(page: str, which: str) -> str:
    """A page with the tables between its marks made anew."""
    return between_marks(page, {**tables_of(which), "variables": variables_table()})


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(with_tables(file.read_text(encoding="utf-8"), file.stem), encoding="utf-8")
