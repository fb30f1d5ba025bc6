"""What a template's output depends on, told from its syntax tree."""

from __future__ import annotations

from collections.abc import Container, Iterator

from logql.template import nodes


def labels_read(body: nodes.Body, pure: Container[str]) -> frozenset[str] | None:
    """The labels that alone decide the output of a template.

    Args:
        body: of the template.
        pure: functions whose results depend on their arguments alone.

    Returns:
        Their names; None if there may be more to it: the line, the time, all labels, or what is not looked into.
    """
    try:
        return frozenset(_of_body(body, pure))
    except _Unknown:
        return None


class _Unknown(Exception):  # noqa: N818 - no error: nothing can be told
    """Something that is not looked into."""


def _of_body(body: nodes.Body, pure: Container[str]) -> Iterator[str]:
    for item in body.items:
        match item:
            case nodes.Text():
                pass
            case nodes.Action(pipeline=pipeline):
                yield from _of_operand(pipeline, pure)
            case nodes.Branch(word="if", pipeline=pipeline, body=inner, other=other):
                yield from _of_operand(pipeline, pure)
                yield from _of_body(inner, pure)
                if other is not None:
                    yield from _of_body(other, pure)
            case _:  # `with` and `range` change what a field is of
                raise _Unknown


def _of_operand(operand: nodes.Operand, pure: Container[str]) -> Iterator[str]:
    match operand:
        case nodes.Nil() | nodes.Bool() | nodes.Number() | nodes.String():
            pass
        case nodes.Field(names=(name,)):
            yield name
        case nodes.Variable(names=(name,)) if name != "$":
            pass  # what was assigned to it has been looked at
        case nodes.Identifier(name=name) if name in pure:
            pass
        case nodes.Pipeline(commands=commands):
            for command in commands:
                for argument in command.args:
                    yield from _of_operand(argument, pure)
        case _:
            raise _Unknown
