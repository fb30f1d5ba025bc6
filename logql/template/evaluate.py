"""Syntax tree and data -> output, by the rules and with the messages of Go's text/template (exec.go)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from logql.template import nodes
from logql.template.errors import CallError, TemplateError
from logql.template.fmt import MAX_OUTPUT, sprint, too_long
from logql.template.quoting import quote
from logql.template.signatures import INTEGERS, Function, Type, convert, fits
from logql.template.time_functions import methods_of
from logql.template.values import NIL, LabelMap, is_true, sorted_items, type_name

MAX_STEPS = 100_000
"""Nodes a rendering may walk, loops included. Functions cost a step for every _BYTES_A_STEP they read or make."""

_BYTES_A_STEP = 256
MAX_DEPTH = 60
"""Templates calling one another. Go stops at 100,000; Python's stack is shorter."""

_MISSING = object()
"""No value comes from the command before (a value may be None)."""


class _BreakLoop(Exception):  # noqa: N818 - a jump, not an error
    """{{break}}."""


class _NextRound(Exception):  # noqa: N818 - a jump, not an error
    """{{continue}}."""


@dataclass(frozen=True, slots=True)
class Program:
    """A parsed template.

    Attributes:
        name: what it is called.
        text: its source, in which messages tell places.
        bodies: itself and the templates it defines, by name.
        functions: what it may call.
    """

    name: str
    text: str
    bodies: Mapping[str, nodes.Body]
    functions: Mapping[str, Function]


def evaluate(program: Program, data: LabelMap, functions: Mapping[str, Callable[[], Any]]) -> bytes:
    """The output of a template for an entry.

    Args:
        program: the template.
        data: the labels.
        functions: those without arguments that tell of the entry.

    Raises:
        TemplateError: with Go's text, or because it asks for too much.
    """
    run = _Run(program, functions)
    try:
        _State(run, program.name, data).body(data, program.bodies[program.name])
    except RecursionError:
        raise TemplateError(f"template: {program.name}: exceeded maximum template depth ({MAX_DEPTH})") from None
    return b"".join(run.out)


class _Run:
    """What all templates of one rendering share."""

    __slots__ = ("entry", "out", "program", "size", "steps")

    def __init__(self, program: Program, entry: Mapping[str, Callable[[], Any]]) -> None:
        self.program = program
        self.entry = entry
        self.out: list[bytes] = []
        self.size = 0
        self.steps = 0


class _State:
    """One template being executed: its variables, and the node it is at, for messages."""

    __slots__ = ("depth", "name", "node", "run", "variables")

    def __init__(self, run: _Run, name: str, data: Any, depth: int = 0) -> None:
        self.run = run
        self.name = name
        self.depth = depth
        self.variables: list[tuple[str, Any]] = [("$", data)]
        self.node: nodes.Node | None = None

    def error(self, message: str) -> TemplateError:
        if self.node is None:
            return TemplateError(f"template: {self.name}: {message}")
        before = self.run.program.text[: self.node.at]
        line = before.count("\n") + 1
        column = len(before[before.rfind("\n") + 1 :].encode("utf-8", "surrogateescape"))
        where = f"{self.run.program.name}:{line}:{column}"
        return TemplateError(f"template: {where}: executing {quote(self.name)} at <{self.node}>: {message}")

    def spend(self, steps: int) -> None:
        self.run.steps += steps
        if self.run.steps > MAX_STEPS:
            raise self.error(f"exceeded maximum number of steps ({MAX_STEPS})")

    def write(self, part: bytes) -> None:
        self.run.size += len(part)
        if self.run.size > MAX_OUTPUT:
            raise self.error(str(too_long()))
        self.run.out.append(part)

    # Items.

    def body(self, dot: Any, body: nodes.Body) -> None:
        for item in body.items:
            self.spend(1)
            self.node = item
            match item:
                case nodes.Text():
                    self.write(item.text)
                case nodes.Action():
                    value = self.pipeline(dot, item.pipeline)
                    if not item.pipeline.variables:
                        self.node = item
                        self.write(_printed(value))
                case nodes.Branch(word="range"):
                    self.loop(dot, item)
                case nodes.Branch():
                    self.branch(dot, item)
                case nodes.Call():
                    self.call_template(dot, item)
                case nodes.Break():
                    raise _BreakLoop
                case nodes.Continue():
                    raise _NextRound

    def branch(self, dot: Any, item: nodes.Branch) -> None:
        """If or with; the chain of `else if` is a loop, as long ones are deep trees."""
        known = len(self.variables)
        while True:
            value = self.pipeline(dot, item.pipeline)
            if is_true(value):
                self.body(value if item.word == "with" else dot, item.body)
                break
            if item.other is None:
                break
            following = item.other.items[0] if len(item.other.items) == 1 else None
            if not isinstance(following, nodes.Branch) or following.word != item.word:
                self.body(dot, item.other)
                break
            self.spend(1)
            self.node = item = following
        del self.variables[known:]

    def loop(self, dot: Any, item: nodes.Branch) -> None:
        known = len(self.variables)
        value = self.pipeline(dot, item.pipeline)
        with suppress(_BreakLoop):
            if not self.rounds(item, value) and item.other is not None:
                self.body(dot, item.other)
        del self.variables[known:]

    def rounds(self, item: nodes.Branch, value: Any) -> bool:
        """Runs the body for every element; False if there is none."""
        pairs: Any
        if isinstance(value, list):
            pairs = enumerate(value)
        elif isinstance(value, (dict, LabelMap)):
            pairs = sorted_items(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            if len(item.pipeline.variables) > 1:
                raise self.error(f"can't use {_shown(value)} to iterate over more than one variable")
            pairs = ((None, type(value)(i)) for i in range(value))
        elif value is None or value is NIL:
            return False
        else:
            raise self.error(f"range can't iterate over {_shown(value)}")
        known = len(self.variables)
        ran = False
        for index, element in pairs:
            ran = True
            self.spend(1)
            self.set_loop_variables(item.pipeline, index, element)
            with suppress(_NextRound):
                self.body(element, item.body)
            del self.variables[known:]
        return ran

    def set_loop_variables(self, pipeline: nodes.Pipeline, index: Any, element: Any) -> None:
        names = [variable.names[0] for variable in pipeline.variables]
        values = [index, element][-len(names) :] if names else []
        for i, (name, value) in enumerate(zip(names, values, strict=True)):
            if pipeline.assigns:
                self.assign(name, value)
            else:
                self.variables[len(self.variables) - len(names) + i] = (name, value)

    def call_template(self, dot: Any, item: nodes.Call) -> None:
        body = self.run.program.bodies.get(item.name)
        if body is None:
            raise self.error(f"template {quote(item.name)} not defined")
        if self.depth >= MAX_DEPTH:
            raise self.error(f"exceeded maximum template depth ({MAX_DEPTH})")
        value = None if item.pipeline is None else self.pipeline(dot, item.pipeline)
        _State(self.run, item.name, value, self.depth + 1).body(value, body)

    # Pipelines.

    def pipeline(self, dot: Any, pipeline: nodes.Pipeline) -> Any:
        self.node = pipeline
        value: Any = _MISSING
        for command in pipeline.commands:
            self.spend(1)
            value = self.command(dot, command, value)
            if value is NIL:
                value = None
        for variable in pipeline.variables:
            if pipeline.assigns:
                self.assign(variable.names[0], value)
            else:
                self.variables.append((variable.names[0], value))
        return value

    def assign(self, name: str, value: Any) -> None:
        for i in range(len(self.variables) - 1, -1, -1):
            if self.variables[i][0] == name:
                self.variables[i] = (name, value)
                return
        raise self.error(f"undefined variable: {name}")

    def command(self, dot: Any, command: nodes.Command, final: Any) -> Any:
        first = command.args[0]
        match first:
            case nodes.Field():
                self.node = first
                return self.fields(dot, first, first.names, command.args, final)
            case nodes.Chain():
                return self.chain(dot, first, command.args, final)
            case nodes.Identifier():
                return self.function(dot, first, command, command.args, final)
            case nodes.Pipeline():
                self.refuse_arguments(command.args, final)
                return self.pipeline(dot, first)
            case nodes.Variable():
                return self.variable(first, command.args, final)
        self.node = first
        self.refuse_arguments(command.args, final)
        match first:
            case nodes.Bool():
                return first.value
            case nodes.Dot():
                return dot
            case nodes.Nil():
                raise self.error("nil is not a command")
            case nodes.Number():
                return self.constant(first)
            case nodes.String():
                return first.value

    def refuse_arguments(self, args: Sequence[nodes.Operand], final: Any) -> None:
        if len(args) > 1 or final is not _MISSING:
            raise self.error(f"can't give argument to non-function {args[0]}")

    def constant(self, number: nodes.Number) -> Any:
        """A constant where no type is wanted: Go's rules for untyped constants."""
        self.node = number
        text = number.text
        if number.imaginary is not None:
            return number.imaginary
        is_hex = text[:2] in {"0x", "0X"} and not any(mark in text for mark in "pP")
        if number.floating is not None and not is_hex and text[0] != "'" and any(mark in text for mark in ".eEpP"):
            return number.floating
        if number.integer is not None:
            return number.integer
        raise self.error(f"{text} overflows int")

    # Operands.

    def variable(self, node: nodes.Variable, args: Sequence[nodes.Operand], final: Any) -> Any:
        self.node = node
        for name, value in reversed(self.variables):
            if name == node.names[0]:
                if len(node.names) == 1:
                    self.refuse_arguments(args, final)
                    return value
                return self.fields(value, node, node.names[1:], args, final)
        raise self.error(f"undefined variable: {node.names[0]}")

    def chain(self, dot: Any, node: nodes.Chain, args: Sequence[nodes.Operand], final: Any) -> Any:
        self.node = node
        if isinstance(node.of, nodes.Nil):
            raise self.error(f"indirection through explicit nil in {node}")
        value = self.argument(dot, None, node.of)
        return self.fields(value, node, node.names, args, final)

    def fields(
        self, value: Any, node: nodes.Node, names: Sequence[str], args: Sequence[nodes.Operand], final: Any
    ) -> Any:
        for name in names[:-1]:
            value = self.field(value, name, node, (), _MISSING)
        return self.field(value, names[-1], node, args, final)

    def field(self, value: Any, name: str, node: nodes.Node, args: Sequence[nodes.Operand], final: Any) -> Any:
        if value is None:
            return None
        if value is NIL:
            raise self.error(f"nil pointer evaluating interface {{}}.{name}")
        method = methods_of(value).get(name)
        if method is not None:
            return self.invoke(value, method, node, name, args, final, value)
        if isinstance(value, (LabelMap, dict)):
            if len(args) > 1 or final is not _MISSING:
                raise self.error(f"{name} is not a method but has arguments")
            return value.get(name) if isinstance(value, LabelMap) else value.get(name, NIL)
        raise self.error(f"can't evaluate field {name} in type {type_name(value)}")

    def function(
        self, dot: Any, node: nodes.Identifier, at: nodes.Node, args: Sequence[nodes.Operand], final: Any
    ) -> Any:
        self.node = node
        return self.invoke(dot, self.run.program.functions[node.name], at, node.name, args, final)

    def invoke(
        self,
        dot: Any,
        function: Function,
        node: nodes.Node,
        name: str,
        args: Sequence[nodes.Operand],
        final: Any,
        *receiver: Any,
    ) -> Any:
        """Calls a function with the arguments written after its name and the value of the pipeline so far."""
        given = args[1:]
        count = len(given) + (final is not _MISSING)
        self.check_count(function, name, len(given), count)
        if function.builtin and name in {"and", "or"}:
            return self.logic(dot, name, given, final)
        values = [self.argument(dot, function.param(i), arg) for i, arg in enumerate(given)]
        if final is not _MISSING:
            values.append(self.checked(final, function.param(len(values))))
        if function.builtin and name == "call":
            self.node = node
            raise self.error(f"error calling call: {_call_refusal(given, values)}")
        call = self.run.entry.get(name, function.call) if not receiver else function.call
        try:
            result = call(*receiver, *values)
        except CallError as error:
            self.node = node
            raise self.error(f"error calling {name}: {error}") from None
        used = sum(len(value) for value in (result, *values) if isinstance(value, bytes))
        if used > _BYTES_A_STEP:
            self.node = node
            if isinstance(result, bytes) and len(result) > MAX_OUTPUT:
                raise self.error(f"error calling {name}: {too_long()}")
            self.spend(used // _BYTES_A_STEP)
        return result

    def check_count(self, function: Function, name: str, given: int, count: int) -> None:
        wanted = len(function.params)
        if function.variadic:
            if count < wanted - 1:
                raise self.error(f"wrong number of args for {name}: want at least {wanted - 1} got {given}")
        elif count != wanted:
            raise self.error(f"wrong number of args for {name}: want {wanted} got {count}")

    def logic(self, dot: Any, name: str, given: Sequence[nodes.Operand], final: Any) -> Any:
        """`and`, `or`: arguments are evaluated until one decides."""
        value: Any = None
        for arg in given:
            value = self.argument(dot, Type.VALUE, arg)
            if is_true(value) == (name == "or"):
                return value
        return value if final is _MISSING else final

    def argument(self, dot: Any, wanted: Type | None, node: nodes.Operand) -> Any:
        """An argument, as a value of the parameter's type."""
        self.node = node
        match node:
            case nodes.Dot():
                return self.checked(dot, wanted)
            case nodes.Nil():
                if wanted in {Type.ANY, Type.VALUE}:
                    return NIL if wanted is Type.ANY else None
                raise self.error(f"cannot assign nil to {wanted.value if wanted else 'nil'}")
            case nodes.Field():
                return self.checked(self.fields(dot, node, node.names, (node,), _MISSING), wanted)
            case nodes.Variable():
                return self.checked(self.variable(node, (), _MISSING), wanted)
            case nodes.Pipeline():
                return self.checked(self.pipeline(dot, node), wanted)
            case nodes.Identifier():
                return self.checked(self.function(dot, node, node, (), _MISSING), wanted)
            case nodes.Chain():
                return self.checked(self.chain(dot, node, (), _MISSING), wanted)
        return self.literal(node, wanted)

    def literal(self, node: nodes.Bool | nodes.Number | nodes.String, wanted: Type | None) -> Any:
        if wanted in {Type.ANY, Type.VALUE}:
            return self.constant(node) if isinstance(node, nodes.Number) else node.value
        if wanted is Type.STRING:
            if isinstance(node, nodes.String):
                return node.value
            raise self.error(f"expected string; found {node}")
        if wanted in INTEGERS:
            if isinstance(node, nodes.Number) and node.integer is not None:
                return convert(node.integer, wanted)
            raise self.error(f"expected integer; found {node}")
        if wanted is Type.FLOAT:
            if isinstance(node, nodes.Number) and node.floating is not None:
                return node.floating
            raise self.error(f"expected float; found {node}")
        raise self.error(f"can't handle {node} for arg of type {wanted.value if wanted else 'nil'}")

    def checked(self, value: Any, wanted: Type | None) -> Any:
        """A value that may be passed to a parameter of this type."""
        if wanted is None or wanted is Type.VALUE:
            return value
        if value is None:
            if wanted is Type.ANY:
                return NIL
            raise self.error(f"invalid value; expected {wanted.value}")
        if not fits(value, wanted):
            raise self.error(f"wrong type for value; expected {wanted.value}; got {type_name(value)}")
        return value


def _call_refusal(given: Sequence[nodes.Operand], values: Sequence[Any]) -> str:
    """What `call` says: templates of Loki never hold a function in a value."""
    if not values:
        return "call of nil"
    if values[0] is None or values[0] is NIL:
        return "call of nil"
    name = str(given[0]) if given else "<reflect.Value Value>"
    return f"non-function {name} of type {type_name(values[0])}"


def _printed(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return b"<no value>" if value is None else sprint([value])


def _shown(value: Any) -> str:
    return sprint([value]).decode("utf-8", "surrogateescape")
