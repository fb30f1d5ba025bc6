"""Loki's pretty printer (format_query): a query on one line, or on many where that line would be long.

A part that fits in a line is printed as `str()` prints it; one that does not puts each of its operands or stages on
lines of their own, indented by two blanks. Measured by Loki's answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from logql.ast import (
    BinaryOperation,
    Expr,
    Grouping,
    LabelReplace,
    LineFilter,
    LogExpr,
    LogRange,
    Matching,
    RangeAggregation,
    Stage,
    VectorAggregation,
)
from logql.durations import print_duration, print_prometheus_duration
from logql.literals import quote
from logql.numbers import short

_LINE = 100
"""Bytes; longer texts are split."""

_INDENT = "  "
_MILLISECOND = 1_000_000


def format_query(expr: Expr) -> str:
    """The text of a query as format_query answers it."""
    return "\n".join(_lines(expr, 0))


def _lines(expr: Expr, level: int) -> Iterator[str]:
    indent = _INDENT * level
    text = str(expr)
    if len(text.encode("utf-8", "surrogateescape")) <= _LINE:
        yield indent + text
        return
    match expr:
        case LogExpr():
            yield indent + str(expr.selector)
            yield from (_INDENT + indent + stage for stage in _stage_texts(expr.stages))
        case RangeAggregation():
            arguments = [_range_lines(expr.range, level + 1)]
            if expr.parameter is not None:
                arguments.insert(0, [_INDENT + indent + short(expr.parameter)])
            yield from _call(f"{indent}{expr.op}", arguments, f"{indent}){_after(expr.grouping)}")
        case VectorAggregation():
            arguments = [list(_lines(expr.operand, level + 1))]
            if expr.parameter is not None:
                arguments.insert(0, [f"{_INDENT}{indent}{expr.parameter}"])
            yield from _call(f"{indent}{expr.op}{_after(expr.grouping)}", arguments, f"{indent})")
        case LabelReplace():
            texts = (expr.dst, expr.replacement, expr.src, expr.regex)
            arguments = [list(_lines(expr.operand, level + 1)), *([_INDENT + indent + quote(text)] for text in texts)]
            yield from _call(f"{indent}label_replace", arguments, f"{indent})")
        case BinaryOperation():
            yield from _operand_lines(expr.left, level + 1)
            yield f"{_INDENT}{indent}{expr.op}{_beside(expr.matching)}"
            yield from _operand_lines(expr.right, level + 1)
        case _:
            yield indent + text


def _operand_lines(expr: Expr, level: int) -> Iterator[str]:
    """An operation within an operation stays in its parentheses: without them the text might mean another grouping."""
    lines = list(_lines(expr, level))
    if isinstance(expr, BinaryOperation) and len(lines) > 1:
        indent = _INDENT * level
        yield f"{indent}("
        yield from lines
        yield f"{indent})"
    else:
        yield from lines


def _call(name: str, arguments: list[list[str]], end: str) -> Iterator[str]:
    yield f"{name}("
    for argument in arguments[:-1]:
        yield from argument[:-1]
        yield f"{argument[-1]},"
    yield from arguments[-1]
    yield end


def _stage_texts(stages: tuple[Stage, ...]) -> Iterator[str]:
    """One a stage; neighbouring line filters are one."""
    for kind, run in groupby(stages, type):
        if kind is LineFilter:
            yield " ".join(map(str, run))
        else:
            yield from map(str, run)


def _range_lines(log_range: LogRange, level: int) -> list[str]:
    lines = list(_lines(log_range.log, level))
    indent = _INDENT * (level + 1)
    if unwrap := log_range.unwrap:
        label = f"{unwrap.conversion}({unwrap.label})" if unwrap.conversion else unwrap.label
        lines.append(f"{indent}| unwrap {label}")
        lines += [f"{indent}| {each}" for each in unwrap.filters]
    lines[-1] += f" [{print_prometheus_duration(log_range.range)}]"
    if log_range.offset:
        lines[-1] += f" offset {_offset(log_range.offset)}"
    return lines


def _offset(ns: int) -> str:
    """In Prometheus' form, which has no sign and ends at milliseconds; what that would lose is in Go's."""
    exact = ns > 0 and ns % _MILLISECOND == 0
    return print_prometheus_duration(ns) if exact else print_duration(ns)


def _after(grouping: Grouping | None) -> str:
    if grouping is None:
        return ""
    return f" {'without' if grouping.without else 'by'} ({', '.join(grouping.names)})"


def _beside(matching: Matching) -> str:
    words = [" bool"] * matching.return_bool
    if matching.written:
        words.append(f" {'on' if matching.on else 'ignoring'} ({', '.join(matching.labels)})")
    if matching.group:
        words.append(f" group_{matching.group} ({', '.join(matching.include)})")
    return "".join(words)
