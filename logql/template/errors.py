"""What a template raises."""

from __future__ import annotations

from logql.errors import LogQLError


class TemplateError(LogQLError):
    """A template does not parse, or fails on an entry; the text is Go's ("template: line:1:3: executing ...")."""


class CallError(Exception):
    """A function refuses its arguments; the evaluator says where and makes a TemplateError of it."""
