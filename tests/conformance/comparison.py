"""How an answer differs from the recorded one.

Status, content type, texts, keys, label maps and times are exact. Numbers are equal within 1e-9 of their size: Loki
itself varies in the last digits of averages. The order of series is free unless the case says otherwise, the order of
entries is not.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NoReturn

from tests.conformance.cases import Case

PLACEHOLDERS: dict[str, tuple[type, ...]] = {
    "<<any>>": (object,),
    "<<string>>": (str,),
    "<<number>>": (int, float),
    "<<object>>": (dict,),
    "<<array>>": (list,),
    "<<bool>>": (bool,),
}
RELATIVE, ABSOLUTE = 1e-9, 1e-12
TIME_SECONDS = 1e-6
"""Times of samples are floats of seconds with three decimals."""


class Differs(Exception):  # noqa: N818 - named for what happened
    """The answer is not the recorded one; the text says where and how."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    content_type: str
    text: str


def compare(case: Case, answer: Answer) -> int:
    """Compares an answer with the recorded one.

    Returns:
        How many numbers are equal but written otherwise.

    Raises:
        Differs: it is another answer.
    """
    expected = case.expect
    statuses = expected["status"] if isinstance(expected["status"], list) else [expected["status"]]
    if answer.status not in statuses:
        raise Differs(f"status {answer.status}, expected {statuses}: {_short(answer.text)}")
    if "content_type" in expected and _plain(expected["content_type"]) != _plain(answer.content_type):
        raise Differs(f"content type {answer.content_type!r}, expected {expected['content_type']!r}")
    if "text" in expected and expected["text"] != answer.text:
        _differs("text", expected["text"], answer.text)
    if "text_regex" in expected and not re.fullmatch(expected["text_regex"], answer.text, re.DOTALL):
        raise Differs(f"text {answer.text!r}, expected to match {expected['text_regex']!r}")
    if "json" not in expected:
        return 0
    try:
        document = json.loads(answer.text)
    except ValueError as error:
        raise Differs(f"no JSON: {_short(answer.text)}") from error
    documents = _Documents(case)
    documents.compare(expected["json"], document)
    return documents.reformatted


class _Documents:
    """Compares two JSON documents by the rules of one case."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.reformatted = 0

    def compare(self, expected: Any, got: Any) -> None:
        data = expected.get("data") if isinstance(expected, dict) else None
        if not (isinstance(data, dict) and "resultType" in data):
            return self._values("$", expected, got)
        self._keys("$", expected, got)
        for key in expected:
            if key != "data":
                self._values(f"$.{key}", expected[key], got[key])
        return self._query_data(data, got["data"])

    def _query_data(self, expected: Mapping[str, Any], got: Any) -> None:
        self._keys("$.data", expected, got)
        for key in expected:
            if key != "result":
                self._values(f"$.data.{key}", expected[key], got[key])
        result, kind = got["result"], expected["resultType"]
        if kind == "scalar":
            return self._sample("scalar", expected["result"], result)
        labels, compare = {
            "streams": ("stream", self._entries),
            "matrix": ("metric", self._points),
            "vector": ("metric", self._vector_sample),
        }[kind]
        ordered = kind == "vector" and self._case.ordered
        return self._series(labels, expected["result"], result, compare, ordered=ordered)

    def _series(
        self, labels: str, expected: Sequence[Any], got: Any, compare: Callable[[str, Any, Any], None], *, ordered: bool
    ) -> None:
        """Lists of objects told apart by their label maps."""
        if not (isinstance(got, list) and all(isinstance(one, dict) and labels in one for one in got)):
            _differs("result", expected, got)
        wanted, found = ([_text(one[labels]) for one in side] for side in (expected, got))
        if sorted(wanted) != sorted(found):
            missing, extra = set(wanted) - set(found), set(found) - set(wanted)
            raise Differs(
                f"{len(found)} series, expected {len(wanted)}; missing {_short(sorted(missing))}, "
                f"unexpected {_short(sorted(extra))}"
            )
        if ordered and wanted != found:
            _differs("order of series", wanted, found)
        if not ordered:
            expected, got = sorted(expected, key=_text), sorted(got, key=_text)
        for one, other in zip(expected, got, strict=True):
            self._keys(_text(one[labels]), one, other)
            compare(_text(one[labels]), one, other)

    def _entries(self, path: str, expected: Mapping[str, Any], got: Mapping[str, Any]) -> None:
        wanted, found = expected["values"], got["values"]
        if not isinstance(found, list) or len(wanted) != len(found):
            _differs(f"{path}: {len(found)} entries, expected {len(wanted)}", wanted, found)
        if self._case.equal_ts_any:
            wanted, found = _ties_sorted(wanted), _ties_sorted(found)
        self._values(path, wanted, found)

    def _points(self, path: str, expected: Mapping[str, Any], got: Mapping[str, Any]) -> None:
        wanted, found = expected["values"], got["values"]
        if not isinstance(found, list) or len(wanted) != len(found):
            _differs(f"{path}: points", wanted, found)
        for one, other in zip(wanted, found, strict=True):
            self._sample(path, one, other)

    def _vector_sample(self, path: str, expected: Mapping[str, Any], got: Mapping[str, Any]) -> None:
        self._sample(path, expected["value"], got["value"])

    def _sample(self, path: str, expected: Sequence[Any], got: Any) -> None:
        """[time as a number, value as text]."""
        if not (isinstance(got, list) and len(got) == 2 and _is_number(got[0]) and isinstance(got[1], str)):
            _differs(path, expected, got)
        if abs(expected[0] - got[0]) > TIME_SECONDS:
            _differs(f"{path}: time", expected[0], got[0])
        if expected[1] != got[1]:
            if not _equal(_number(expected[1]), _number(got[1])):
                _differs(f"{path}: value at {expected[0]}", expected[1], got[1])
            self.reformatted += 1

    def _values(self, path: str, expected: Any, got: Any) -> None:
        if isinstance(expected, str) and expected in PLACEHOLDERS:
            if not isinstance(got, PLACEHOLDERS[expected]) or (expected == "<<number>>" and not _is_number(got)):
                _differs(path, expected, got)
        elif isinstance(expected, dict):
            self._keys(path, expected, got)
            for key in expected:
                self._values(f"{path}.{key}", expected[key], got[key])
        elif isinstance(expected, list):
            if not isinstance(got, list) or len(expected) != len(got):
                _differs(path, expected, got)
            if self._case.unordered:
                expected, got = sorted(expected, key=_text), sorted(got, key=_text)
            for place, (one, other) in enumerate(zip(expected, got, strict=True)):
                self._values(f"{path}[{place}]", one, other)
        elif _is_number(expected):
            if not (_is_number(got) and _equal(expected, got)):
                _differs(path, expected, got)
        elif type(expected) is not type(got) or expected != got:
            _differs(path, expected, got)

    def _keys(self, path: str, expected: Mapping[str, Any], got: Any) -> None:
        if not isinstance(got, dict):
            _differs(path, expected, got)
        if expected.keys() != got.keys():
            missing, extra = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
            raise Differs(f"{path}: keys missing {missing}, unexpected {extra}")


def _ties_sorted(entries: Sequence[Any]) -> list[Any]:
    ties = groupby(entries, key=lambda entry: entry[0])
    return [entry for _, tie in ties for entry in sorted(tie, key=_text)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _plain(content_type: str) -> str:
    return content_type.lower().replace(" ", "")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _short(value: Any, most: int = 400) -> str:
    text = value if isinstance(value, str) else _text(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def _differs(where: str, expected: Any, got: Any) -> NoReturn:
    raise Differs(f"{where}: got {_short(got)}, expected {_short(expected)}")
