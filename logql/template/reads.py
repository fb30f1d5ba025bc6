"""What a template's output depends on, told from its syntax tree."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from logql.template import nodes


@dataclass(frozen=True, slots=True)
class Reads:
    """What alone decides the output of a template.

    Attributes:
        labels: names of labels.
        line: whether the line does too.
        time: whether the time of the entry does too.
    """

    labels: frozenset[str]
    line: bool = False
    time: bool = False


def reads_of(body: nodes.Body, pure: Container[str]) -> Reads | None:
    """What decides the output of a template.

    Args:
        body: of the template.
        pure: functions whose results depend on their arguments alone.

    Returns:
        None if there may be more to it: all labels, the clock, or what is not looked into.
    """
    labels: set[str] = set()
    entry: set[str] = set()
    # Lists of what is left to look at: templates may be deeper than Python's stack. With each goes whether `.` is the
    # labels there; within `with` and `range` it is something that has been looked at.
    bodies, operands = [(body, True)], list[tuple[nodes.Operand, bool]]()
    while bodies:
        inside, is_root = bodies.pop()
        for item in inside.items:
            match item:
                case nodes.Text() | nodes.Break() | nodes.Continue():
                    pass
                case nodes.Action(pipeline=pipeline):
                    operands.append((pipeline, is_root))
                case nodes.Branch(word=word, pipeline=pipeline, body=inner, other=other):
                    operands.append((pipeline, is_root))
                    bodies.append((inner, is_root and word == "if"))
                    if other is not None:
                        bodies.append((other, is_root))
                case _:
                    return None
    while operands:
        operand, is_root = operands.pop()
        match operand:
            case nodes.Nil() | nodes.Bool() | nodes.Number() | nodes.String():
                pass
            case nodes.Dot() if not is_root:
                pass
            case nodes.Field(names=(name, *_)):
                if is_root:
                    labels.add(name)
            case nodes.Variable(names=("$", name, *_)):
                labels.add(name)
            case nodes.Variable(names=(name, *_)) if name != "$":
                pass  # what was assigned to it has been looked at
            case nodes.Identifier(name="__line__" | "__timestamp__" as name):
                entry.add(name)
            case nodes.Identifier(name=name) if name in pure:
                pass
            case nodes.Chain(of=inner_operand):
                operands.append((inner_operand, is_root))
            case nodes.Pipeline(commands=commands):
                operands += [(argument, is_root) for command in commands for argument in command.args]
            case _:
                return None
    return Reads(frozenset(labels), "__line__" in entry, "__timestamp__" in entry)
