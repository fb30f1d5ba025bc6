"""Tokens -> syntax tree, with the rules and the messages of Go's text/template/parse."""

from __future__ import annotations

from collections.abc import Collection

from logql.literals import BadLiteral, to_bytes, unquote
from logql.template import nodes
from logql.template.constants import parse_number
from logql.template.errors import TemplateError
from logql.template.quoting import quote
from logql.template.tokens import Kind, Token, tokenize

MAX_NESTING = 50
"""Parentheses and control structures one in another. Go stops at 10,000 parentheses; Python's stack is shorter."""

_OPERANDS = frozenset(
    {
        Kind.BOOL,
        Kind.CHAR_CONSTANT,
        Kind.COMPLEX,
        Kind.DOT,
        Kind.FIELD,
        Kind.IDENTIFIER,
        Kind.NUMBER,
        Kind.NIL,
        Kind.RAW_STRING,
        Kind.STRING,
        Kind.VARIABLE,
        Kind.LEFT_PAREN,
    }
)
_NOT_EXECUTABLE = (nodes.Bool, nodes.Dot, nodes.Nil, nodes.Number, nodes.String)
_ELSE_WORDS = {"if": Kind.IF, "with": Kind.WITH}
_END, _ELSE = "{{end}}", "{{else}}"


def parse_template(text: str, name: str, functions: Collection[str]) -> dict[str, nodes.Body]:
    """The bodies by name of a template and those it defines.

    Args:
        text: the template.
        name: what it is called, in messages too.
        functions: the names a template may call.

    Raises:
        TemplateError: with Go's text.
    """
    return _Parser(text, name, functions).parse()


class _Parser:
    def __init__(self, text: str, name: str, functions: Collection[str]) -> None:
        self.name = name
        self.functions = functions
        self.tokens = tokenize(text)
        self.next_at = 0
        self.furthest = -1
        self.variables = ["$"]
        self.bodies: dict[str, nodes.Body] = {}
        self.nesting = 0
        self.ranges = 0
        self.action_line = 0

    # Tokens.

    def peek(self) -> Token:
        """The next token; spaces count."""
        at = min(self.next_at, len(self.tokens) - 1)
        self.furthest = max(self.furthest, at)
        return self.tokens[at]

    def next(self) -> Token:
        token = self.peek()
        self.next_at += 1
        return token

    def peek_word(self) -> Token:
        """The next token but spaces, which are dropped."""
        while self.peek().kind is Kind.SPACE:
            self.next_at += 1
        return self.peek()

    def next_word(self) -> Token:
        token = self.peek_word()
        self.next_at += 1
        return token

    def expect(self, kind: Kind, context: str) -> Token:
        token = self.next_word()
        if token.kind is not kind:
            raise self.unexpected(token, context)
        return token

    # Errors.

    def error(self, message: str) -> TemplateError:
        line = self.tokens[max(self.furthest, 0)].line
        return TemplateError(f"template: {self.name}:{line}: {message}")

    def unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind is not Kind.ERROR:
            return self.error(f"unexpected {token} in {context}")
        extra = ""
        if self.action_line not in {0, token.line}:
            extra = f" in action started at {self.name}:{self.action_line}"
            if token.text.endswith(" action"):
                extra = extra.removeprefix(" in action")
        return self.error(f"{token}{extra}")

    def deeper(self) -> None:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.error("max expression depth exceeded")

    # Bodies.

    def parse(self) -> dict[str, nodes.Body]:
        items: list[nodes.Item] = []
        while self.peek().kind is not Kind.EOF:
            if self.peek().kind is Kind.LEFT_DELIM:
                delim = self.next_at
                self.next_at += 1
                if self.next_word().kind is Kind.DEFINE:
                    self.definition()
                    continue
                self.next_at = delim
            item = self.item()
            if isinstance(item, str):
                raise self.error(f"unexpected {item}")
            items.append(item)
        self.add(self.name, nodes.Body(tuple(items)))
        return self.bodies

    def add(self, name: str, body: nodes.Body) -> None:
        if name not in self.bodies or self.bodies[name].empty:
            self.bodies[name] = body
        elif not body.empty:
            raise self.error(f"template: multiple definition of template {quote(name)}")

    def definition(self) -> None:
        token = self.next_word()
        if token.kind not in {Kind.STRING, Kind.RAW_STRING}:
            raise self.unexpected(token, "define clause")
        name = self.unquoted(token)
        self.expect(Kind.RIGHT_DELIM, "define clause")
        self.add(name, self.separate_body("define clause"))

    def separate_body(self, context: str) -> nodes.Body:
        """The body of another template, which sees none of the variables and loops around it."""
        variables, ranges, action_line = self.variables, self.ranges, self.action_line
        self.variables, self.ranges, self.action_line = ["$"], 0, 0
        self.deeper()
        body, end = self.body()
        self.nesting -= 1
        self.variables, self.ranges, self.action_line = variables, ranges, action_line
        if end != _END:
            raise self.error(f"unexpected {end} in {context}")
        return body

    def body(self) -> tuple[nodes.Body, str]:
        """Items up to {{end}} or {{else}}, which is told too."""
        items: list[nodes.Item] = []
        while self.peek_word().kind is not Kind.EOF:
            item = self.item()
            if isinstance(item, str):
                return nodes.Body(tuple(items)), item
            items.append(item)
        raise self.error("unexpected EOF")

    def item(self) -> nodes.Item | str:
        token = self.next_word()
        if token.kind is Kind.TEXT:
            return nodes.Text(token.at, to_bytes(token.text))
        if token.kind is not Kind.LEFT_DELIM:
            raise self.unexpected(token, "input")
        self.action_line = token.line
        item = self.action()
        self.action_line = 0
        return item

    def action(self) -> nodes.Item | str:
        token = self.next_word()
        match token.kind:
            case Kind.BLOCK:
                return self.block()
            case Kind.BREAK | Kind.CONTINUE:
                return self.leave_loop(token)
            case Kind.ELSE:
                if self.peek_word().kind not in {Kind.IF, Kind.WITH}:
                    self.expect(Kind.RIGHT_DELIM, "else")
                return _ELSE
            case Kind.END:
                self.expect(Kind.RIGHT_DELIM, "end")
                return _END
            case Kind.IF | Kind.WITH | Kind.RANGE:
                return self.branch(token.text)
            case Kind.TEMPLATE:
                return self.call()
        self.next_at -= 1
        return nodes.Action(self.peek().at, self.pipeline("command", Kind.RIGHT_DELIM))

    def leave_loop(self, token: Token) -> nodes.Item:
        shown = f"{{{{{token.text}}}}}"
        after = self.next_word()
        if after.kind is not Kind.RIGHT_DELIM:
            raise self.unexpected(after, shown)
        if not self.ranges:
            raise self.error(f"{shown} outside {{{{range}}}}")
        return nodes.Break(token.at) if token.kind is Kind.BREAK else nodes.Continue(token.at)

    def branch(self, word: str) -> nodes.Branch:
        """A control structure; a chain of `else if` is read in a loop, so that it may be long."""
        self.deeper()
        known = len(self.variables)
        heads: list[tuple[nodes.Pipeline, nodes.Body]] = []
        other: nodes.Body | None = None
        while True:
            pipeline = self.pipeline(word, Kind.RIGHT_DELIM)
            self.ranges += word == "range"
            body, end = self.body()
            self.ranges -= word == "range"
            heads.append((pipeline, body))
            if end == _END:
                break
            if word in _ELSE_WORDS and self.peek().kind is _ELSE_WORDS[word]:
                self.next_at += 1
                continue
            other, end = self.body()
            if end != _END:
                raise self.error(f"expected end; found {end}")
            break
        del self.variables[known:]
        self.nesting -= 1
        for pipeline, body in reversed(heads[1:]):
            other = nodes.Body((nodes.Branch(pipeline.at, word, pipeline, body, other),))
        pipeline, body = heads[0]
        return nodes.Branch(pipeline.at, word, pipeline, body, other)

    def block(self) -> nodes.Item:
        token = self.next_word()
        name = self.template_name(token, "block clause")
        pipeline = self.pipeline("block clause", Kind.RIGHT_DELIM)
        self.add(name, self.separate_body("block clause"))
        return nodes.Call(token.at, name, pipeline)

    def call(self) -> nodes.Item:
        token = self.next_word()
        name = self.template_name(token, "template clause")
        if self.peek_word().kind is Kind.RIGHT_DELIM:
            self.next_at += 1
            return nodes.Call(token.at, name, None)
        return nodes.Call(token.at, name, self.pipeline("template clause", Kind.RIGHT_DELIM))

    def template_name(self, token: Token, context: str) -> str:
        if token.kind not in {Kind.STRING, Kind.RAW_STRING}:
            raise self.unexpected(token, context)
        return self.unquoted(token)

    # Pipelines.

    def pipeline(self, context: str, end: Kind) -> nodes.Pipeline:
        at = self.peek_word().at
        variables, assigns = self.declarations(context)
        commands: list[nodes.Command] = []
        while True:
            token = self.next_word()
            if token.kind is end:
                self.check(commands, context)
                return nodes.Pipeline(at, tuple(variables), assigns, tuple(commands))
            if token.kind not in _OPERANDS:
                raise self.unexpected(token, context)
            self.next_at -= 1
            commands.append(self.command())

    def declarations(self, context: str) -> tuple[list[nodes.Variable], bool]:
        found: list[nodes.Variable] = []
        while self.peek_word().kind is Kind.VARIABLE:
            start = self.next_at
            token = self.next()
            after = self.peek_word()
            if after.kind in {Kind.ASSIGN, Kind.DECLARE}:
                self.next_at += 1
                found.append(self.declared(token))
                return found, after.kind is Kind.ASSIGN
            if after.text != "," or after.kind is not Kind.CHAR:
                self.next_at = start
                break
            self.next_at += 1
            found.append(self.declared(token))
            if context != "range" or len(found) > 1:
                raise self.error(f"too many declarations in {context}")
            if self.peek_word().kind not in {Kind.VARIABLE, Kind.RIGHT_DELIM, Kind.RIGHT_PAREN}:
                raise self.error("range can only initialize variables")
        return found, False

    def declared(self, token: Token) -> nodes.Variable:
        self.variables.append(token.text)
        return nodes.Variable(token.at, (token.text,))

    def check(self, commands: list[nodes.Command], context: str) -> None:
        if not commands:
            raise self.error(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.args[0], _NOT_EXECUTABLE):
                raise self.error(f"non executable command in pipeline stage {stage}")

    def command(self) -> nodes.Command:
        at = self.peek_word().at
        args: list[nodes.Operand] = []
        while True:
            self.peek_word()
            operand = self.operand()
            if operand is not None:
                args.append(operand)
            token = self.next()
            if token.kind is Kind.SPACE:
                continue
            if token.kind in {Kind.RIGHT_DELIM, Kind.RIGHT_PAREN}:
                self.next_at -= 1
            elif token.kind is not Kind.PIPE:
                raise self.unexpected(token, "operand")
            break
        if not args:
            raise self.error("empty command")
        return nodes.Command(at, tuple(args))

    def operand(self) -> nodes.Operand | None:
        node = self.term()
        first = self.peek()
        if node is None or first.kind is not Kind.FIELD:
            return node
        names = []
        while self.peek().kind is Kind.FIELD:
            names.append(self.next().text[1:])
        if isinstance(node, nodes.Field):
            return nodes.Field(first.at, (*node.names, *names))
        if isinstance(node, nodes.Variable):
            return nodes.Variable(first.at, (*node.names, *names))
        if isinstance(node, _NOT_EXECUTABLE):
            raise self.error(f"unexpected . after term {quote(str(node))}")
        return nodes.Chain(first.at, node, tuple(names))

    def term(self) -> nodes.Operand | None:
        token = self.next_word()
        match token.kind:
            case Kind.IDENTIFIER:
                if token.text not in self.functions:
                    raise self.error(f"function {quote(token.text)} not defined")
                return nodes.Identifier(token.at, token.text)
            case Kind.DOT:
                return nodes.Dot(token.at)
            case Kind.NIL:
                return nodes.Nil(token.at)
            case Kind.VARIABLE:
                if token.text not in self.variables:
                    raise self.error(f"undefined variable {quote(token.text)}")
                return nodes.Variable(token.at, (token.text,))
            case Kind.FIELD:
                return nodes.Field(token.at, (token.text[1:],))
            case Kind.BOOL:
                return nodes.Bool(token.at, token.text == "true")
            case Kind.CHAR_CONSTANT | Kind.COMPLEX | Kind.NUMBER:
                try:
                    return parse_number(token)
                except ValueError as error:
                    raise self.error(str(error)) from None
            case Kind.LEFT_PAREN:
                self.deeper()
                pipeline = self.pipeline("parenthesized pipeline", Kind.RIGHT_PAREN)
                self.nesting -= 1
                return pipeline
            case Kind.STRING | Kind.RAW_STRING:
                return nodes.String(token.at, token.text, to_bytes(self.unquoted(token)))
        self.next_at -= 1
        return None

    def unquoted(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except BadLiteral:
            raise self.error("invalid syntax") from None
