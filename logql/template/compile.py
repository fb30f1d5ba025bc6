"""compile_template: text -> Template."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from logql.literals import to_bytes
from logql.template import nodes
from logql.template.builtin_functions import BUILTINS
from logql.template.errors import CallError
from logql.template.evaluate import Program, evaluate
from logql.template.number_functions import NUMBER_FUNCTIONS
from logql.template.parser import parse_template
from logql.template.reads import reads_of
from logql.template.regex_functions import REGEX_FUNCTIONS
from logql.template.signatures import Function
from logql.template.string_functions import STRING_FUNCTIONS
from logql.template.time_functions import functions_of_time
from logql.template.times import Time
from logql.template.values import LabelMap
from logql.template.zones import local_zone

_FIXED = BUILTINS | STRING_FUNCTIONS | REGEX_FUNCTIONS | NUMBER_FUNCTIONS

_PURE = _FIXED.keys() | (functions_of_time(time.time_ns).keys() - {"now"})
"""What gives the same for the same arguments; `date` of what is no time, which is the current one's, at any moment."""


class Template:
    """A compiled template. It may be used from several threads at once.

    Attributes:
        reads: what alone decides its output; None if there may be more to it.
    """

    __slots__ = ("_label", "_program", "reads")

    def __init__(self, program: Program) -> None:
        self._program = program
        self._label = _only_label(program.bodies[program.name])
        self.reads = reads_of(program.bodies[program.name], _PURE)

    def render(self, data: Mapping[str, str], *, line: bytes, ts: int) -> bytes:
        """The output for an entry.

        Args:
            data: its labels by name.
            line: the line as it is now, for __line__.
            ts: ns, for __timestamp__.

        Raises:
            TemplateError: the template fails on this entry; the text is that of `__error_details__`.
        """
        if self._label is not None:
            return to_bytes(data.get(self._label, ""))
        entry: dict[str, Callable[[], Any]] = {
            "__line__": lambda: line,
            "__timestamp__": lambda: Time(ts, local_zone()),
        }
        return evaluate(self._program, LabelMap(data), entry)


def compile_template(text: str, *, name: str, now: Callable[[], int] = time.time_ns) -> Template:
    """A template ready to be rendered.

    Args:
        text: the template, a literal's value (see literals).
        name: "line" or "label": messages have it.
        now: tells the time in ns, for the function of that name.

    Raises:
        TemplateError: it does not parse; the text is Go's ("template: line:1: unclosed action").
    """
    functions = _FIXED | functions_of_time(now) | {"__line__": _ENTRY, "__timestamp__": _ENTRY}
    return Template(Program(name, text, parse_template(text, name, functions), functions))


def _without_entry() -> Any:
    raise CallError("there is no entry")


_ENTRY = Function(_without_entry, ())
"""Stands for the functions that tell of the entry; `render` puts its own in their place."""


def _only_label(body: nodes.Body) -> str | None:
    """The label that is all a template prints, `{{.x}}`; None for any other."""
    if len(body.items) != 1 or not isinstance(action := body.items[0], nodes.Action):
        return None
    pipeline = action.pipeline
    if pipeline.variables or len(pipeline.commands) != 1 or len(pipeline.commands[0].args) != 1:
        return None
    field = pipeline.commands[0].args[0]
    return field.names[0] if isinstance(field, nodes.Field) and len(field.names) == 1 else None
