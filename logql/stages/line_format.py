"""`| line_format "..."`: the line becomes what a template prints, as in Loki."""

from __future__ import annotations

from dataclasses import dataclass

from logql import ast
from logql.errors import StageError
from logql.stages.row import Row
from logql.template import Template, TemplateError, compile_template

TEMPLATE_ERROR = "TemplateFormatErr"


@dataclass(frozen=True, slots=True)
class LineFormat:
    """The stage. A template that fails leaves the line as it is and sets the error."""

    template: Template

    @classmethod
    def of(cls, node: ast.LineFormatStage) -> LineFormat:
        """The stage of a node. Raises StageError: it is no template."""
        try:
            return cls(compile_template(node.template, name="line"))
        except TemplateError as error:
            raise StageError(f"invalid line template: {error}") from None

    def apply(self, row: Row) -> bool:
        """Changes the line."""
        try:
            row.line = self.template.render(row.labels(), line=row.line, ts=row.ts)
        except TemplateError as error:
            row.fail(TEMPLATE_ERROR, str(error))
        return True
