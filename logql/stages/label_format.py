"""`| label_format new=old, name="template"`: labels renamed and made, as in Loki."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.errors import StageError
from logql.literals import to_text
from logql.stages.line_format import TEMPLATE_ERROR
from logql.stages.row import ERROR, ERROR_DETAILS, Row
from logql.template import Template, TemplateError, compile_template


@dataclass(frozen=True, slots=True)
class Renaming:
    """`name=source`: nothing happens if there is no such label; `a=a` removes it."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Making:
    """`name="template"`."""

    name: str
    template: Template


@dataclass(frozen=True, slots=True)
class LabelFormatter:
    """The stage. Its templates all see the labels as the first of them found them."""

    formats: tuple[Renaming | Making, ...]

    @classmethod
    def of(cls, node: ast.LabelFormatStage) -> LabelFormatter:
        """The stage of a node.

        Raises:
            StageError: a template is none, or a name is set twice or is an error's.
        """
        seen: set[str] = set()
        for item in node.formats:
            if item.name in (ERROR, ERROR_DETAILS):
                raise StageError(f"{item.name} cannot be formatted")
            if item.name in seen:
                raise StageError(f"multiple label name '{item.name}' not allowed in a single format operation")
            seen.add(item.name)
        return cls(tuple(map(_format_of, node.formats)))

    def apply(self, row: Row) -> bool:
        """Changes labels."""
        labels: dict[str, str] | None = None
        for item in self.formats:
            if isinstance(item, Renaming):
                value = row.get(item.source)
                if value is not None:
                    row.set(item.name, value)
                    row.delete(item.source)
                continue
            if not labels:
                labels = row.labels()
            try:
                made = item.template.render(labels, line=row.line, ts=row.ts)
            except TemplateError as error:
                row.fail(TEMPLATE_ERROR, str(error))
            else:
                row.set(item.name, to_text(made))
        return True


def _format_of(item: ast.LabelFormat) -> Renaming | Making:
    if item.rename:
        return Renaming(item.name, item.value)
    try:
        return Making(item.name, compile_template(item.value, name="label"))
    except TemplateError as error:
        raise StageError(f"invalid template for label '{item.name}': {error}") from None
