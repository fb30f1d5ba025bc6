"""The JSON answers of Loki's API, decoded into typed values.

Unknown keys are let pass and missing `data` is read as empty (Loki leaves an empty list out); wrong types are errors.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import msgspec

from gateway.client.errors import BadAnswer
from gateway.client.explanation import Explanation

T = TypeVar("T")


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """`[ts, line]`; a third element (categorised labels) is let pass."""

    ts: str
    line: str


class Stream(msgspec.Struct, frozen=True):
    """The entries that share one label set."""

    stream: dict[str, str]
    values: list[Entry]


class Streams(msgspec.Struct, frozen=True):
    """A log query's answer: streams, each in the direction asked for; `explanation` if the server gave one."""

    streams: list[Stream]
    warnings: list[str]
    explanation: Explanation | None = None


class Series(msgspec.Struct, frozen=True):
    """A metric query's answer: vector, matrix or scalar, its JSON left as it came; `explanation` as of Streams."""

    kind: str
    json: bytes
    warnings: list[str]
    explanation: Explanation | None = None


QueryAnswer: TypeAlias = Streams | Series


class _QueryData(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw
    explain: Explanation | None = None


class _Query(msgspec.Struct):
    data: _QueryData
    warnings: list[str] = []


class _Names(msgspec.Struct):
    data: list[str] = []


class _LabelSets(msgspec.Struct):
    data: list[dict[str, str]] = []


def decode_query(body: bytes) -> QueryAnswer:
    """The answer of query_range.

    Raises:
        BadAnswer: not that.
    """
    answer = decode(body, _Query)
    told = answer.data.explain
    if answer.data.result_type == "streams":
        return Streams(decode(bytes(answer.data.result), list[Stream]), answer.warnings, told)
    return Series(answer.data.result_type, bytes(answer.data.result), answer.warnings, told)


def decode_names(body: bytes) -> list[str]:
    """The answer of labels and label values.

    Raises:
        BadAnswer: not that.
    """
    return decode(body, _Names).data


def decode_label_sets(body: bytes) -> list[dict[str, str]]:
    """The answer of series.

    Raises:
        BadAnswer: not that.
    """
    return decode(body, _LabelSets).data


def decode(body: bytes, kind: type[T]) -> T:
    """A JSON answer. Raises BadAnswer: not that."""
    try:
        return msgspec.json.decode(body, type=kind)
    except UnicodeDecodeError:
        # A server that passes a line's broken bytes on: better a replacement character than no answer.
        return decode(body.decode("utf-8", "replace").encode(), kind)
    except msgspec.MsgspecError as error:
        raise BadAnswer(f"the answer is not one of Loki's API: {error}") from error
