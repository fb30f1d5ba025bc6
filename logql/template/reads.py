"""What a template's output depends on, told from its syntax tree."""

from __future__ import annotations

from collections.abc import Container

from logql.template import nodes


def labels_read(body: nodes.Body, pure: Container[str]) -> frozenset[str] | None:
    """The labels that alone decide the output of a template.

    Args:
        body: of the template.
        pure: functions whose results depend on their arguments alone.

    Returns:
        Their names; None if there may be more to it: the line, the time, all labels, or what is not looked into.
    """
    names: set[str] = set()
    # Lists of what is left to look at: templates may be deeper than Python's stack.
    bodies, operands = [body], list[nodes.Operand]()
    while bodies:
        for item in bodies.pop().items:
            match item:
                case nodes.Text():
                    pass
                case nodes.Action(pipeline=pipeline):
                    operands.append(pipeline)
                case nodes.Branch(word="if", pipeline=pipeline, body=inner, other=other):
                    operands.append(pipeline)
                    bodies += [inner] if other is None else [inner, other]
                case _:  # `with` and `range` change what a field is of
                    return None
    while operands:
        match operands.pop():
            case nodes.Nil() | nodes.Bool() | nodes.Number() | nodes.String():
                pass
            case nodes.Field(names=(name,)):
                names.add(name)
            case nodes.Variable(names=(name,)) if name != "$":
                pass  # what was assigned to it has been looked at
            case nodes.Identifier(name=name) if name in pure:
                pass
            case nodes.Pipeline(commands=commands):
                operands += [argument for command in commands for argument in command.args]
            case _:
                return None
    return frozenset(names)
