"""The comparison forgives what the recordings say Loki varies in, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.cases import Case, areas, cases
from tests.conformance.comparison import PLACEHOLDERS, Answer, Differs, compare

STRICT = {"ordered": False, "unordered": False, "equal_ts_any": False}


def case(document: Any = None, **how: bool) -> Case:
    expect = {"status": 200, "content_type": "application/json; charset=UTF-8", "json": document}
    return Case("x-001", "x", {"method": "GET"}, (), expect, **{**STRICT, **how})


def answer(document: Any) -> Answer:
    return Answer(200, "application/json; charset=UTF-8", json.dumps(document))


def query(kind: str, *result: Any, **more: Any) -> dict[str, Any]:
    data = {"resultType": kind, "result": list(result), "stats": "<<object>>"}
    return {"status": "success", "data": data, **more}


def series(kind: str, labels: dict[str, str], *values: Any) -> dict[str, Any]:
    if kind == "vector":
        return {"metric": labels, "value": values[0]}
    return {"stream" if kind == "streams" else "metric": labels, "values": list(values)}


def answered(document: dict[str, Any]) -> Answer:
    return answer({**document, "data": {**document["data"], "stats": {"summary": {}}}})


A, B = {"app": "a"}, {"app": "b"}


@pytest.mark.parametrize("kind", ["streams", "matrix", "vector"])
def test_the_order_of_series_is_free_unless_a_case_says_otherwise(kind: str) -> None:
    value = ["1", "x"] if kind == "streams" else [1, "2"]
    one, other = series(kind, A, value), series(kind, B, value)
    turned = answered(query(kind, other, one))
    assert compare(case(query(kind, one, other)), turned) == 0
    if kind == "vector":
        with pytest.raises(Differs, match="order"):
            compare(case(query(kind, one, other), ordered=True), turned)


def test_the_order_of_entries_counts_but_for_ties_where_a_case_says_so() -> None:
    first, second, third = ["2", "x"], ["2", "y"], ["1", "z"]
    recorded = query("streams", series("streams", A, first, second, third))
    tied = answered(query("streams", series("streams", A, second, first, third)))
    moved = answered(query("streams", series("streams", A, third, second, first)))
    assert compare(case(recorded, equal_ts_any=True), tied) == 0
    for how, given in ((False, tied), (False, moved), (True, moved)):
        with pytest.raises(Differs):
            compare(case(recorded, equal_ts_any=how), given)


@pytest.mark.parametrize(
    ("recorded", "given", "reformatted"),
    [("0.1", "0.1", 0), ("1", "1.0", 1), ("0.3", "0.30000000000000004", 1), ("NaN", "nan", 1), ("+Inf", "Inf", 1)],
)
def test_equal_numbers_pass_and_other_forms_are_counted(recorded: str, given: str, reformatted: int) -> None:
    made = answered(query("vector", series("vector", A, [1.5, given])))
    assert compare(case(query("vector", series("vector", A, [1.5, recorded]))), made) == reformatted


@pytest.mark.parametrize(
    "value", [[1, "2.00001"], [2, "2"], [1, 2], ["1", "2"], [1, "x"], [1, "NaN"], [1], None, [True, "2"]]
)
def test_other_samples_differ(value: Any) -> None:
    for kind in ("matrix", "vector"):
        with pytest.raises(Differs):
            compare(case(query(kind, series(kind, A, [1, "2"]))), answered(query(kind, series(kind, A, value))))


def test_a_label_more_or_less_differs() -> None:
    for labels in ({}, {**A, "b": "c"}, B):
        with pytest.raises(Differs):
            compare(
                case(query("streams", series("streams", A, ["1", "x"]))),
                answered(query("streams", series("streams", labels, ["1", "x"]))),
            )


def test_a_key_more_or_less_differs() -> None:
    recorded = query("vector", series("vector", A, [1, "2"]))
    more: list[dict[str, Any]] = [
        {**recorded, "warnings": []},
        {**recorded, "data": {**recorded["data"], "encodingFlags": []}},
        query("vector", {**series("vector", A, [1, "2"]), "histogram": []}),
        {"status": "success", "data": {"resultType": "vector", "result": []}},
    ]
    for document in more:
        with pytest.raises(Differs):
            compare(case(recorded), answer(document))


def test_status_type_and_texts_are_exact() -> None:
    recorded = Case("x", "x", {}, (), {"status": [404, 405], "content_type": "text/plain", "text": "no\n"}, **STRICT)
    assert compare(recorded, Answer(405, "Text/Plain", "no\n")) == 0
    for other in (Answer(400, "text/plain", "no\n"), Answer(404, "text/html", "no\n"), Answer(404, "text/plain", "no")):
        with pytest.raises(Differs):
            compare(recorded, other)
    pattern = replace(recorded, expect={"status": 200, "text_regex": "a.*b"})
    assert compare(pattern, Answer(200, "", "a\nb")) == 0
    with pytest.raises(Differs):
        compare(pattern, Answer(200, "", "a\nb "))


@pytest.mark.parametrize(
    ("recorded", "given"),
    [(True, 1), (1, True), (0, None), ("1", 1), ([1], [1, 2]), ({}, []), ("<<number>>", True), ("<<string>>", 1)],
)
def test_types_count(recorded: Any, given: Any) -> None:
    with pytest.raises(Differs):
        compare(case({"x": recorded}), answer({"x": given}))


def test_lists_are_in_order_unless_a_case_says_otherwise() -> None:
    assert compare(case({"data": [B, A]}, unordered=True), answer({"data": [A, B]})) == 0
    with pytest.raises(Differs):
        compare(case({"data": [B, A]}), answer({"data": [A, B]}))


def test_no_json_differs() -> None:
    with pytest.raises(Differs, match="no JSON"):
        compare(case({}), Answer(200, "application/json; charset=UTF-8", "oops"))


def changed(value: Any) -> Any:
    """The document with the last leaf that is compared exactly replaced; None if there is none."""
    if isinstance(value, dict):
        for key in reversed(value):
            if (inner := changed(value[key])) is not None:
                return {**value, key: inner}
        return None
    if isinstance(value, list):
        for place in reversed(range(len(value))):
            if (inner := changed(value[place])) is not None:
                return [*value[:place], inner, *value[place + 1 :]]
        return None
    if isinstance(value, str):
        return None if value in PLACEHOLDERS else f"x{value}"
    return None if value is None or isinstance(value, bool) else value + 1


@pytest.mark.parametrize("area", areas())
def test_every_recorded_answer_passes_as_it_is_and_fails_when_changed(area: str) -> None:
    for recorded in cases(area):
        if recorded.is_http and (made := as_recorded(recorded.expect)) is not None:
            assert compare(recorded, made) == 0, recorded.id
            for other in spoiled(recorded.expect, made):
                with pytest.raises(Differs):
                    compare(recorded, other)


def as_recorded(expect: Mapping[str, Any]) -> Answer | None:
    """The answer that was expected; None where only its form was kept."""
    status = expect["status"][0] if isinstance(expect["status"], list) else expect["status"]
    text = expect.get("text", expect.get("example"))
    if "json" in expect:
        text = json.dumps(filled(expect["json"]))
    elif text is None:
        if "text_regex" in expect:
            return None
        text = ""
    return Answer(status, expect.get("content_type", ""), text)


def spoiled(expect: Mapping[str, Any], made: Answer) -> Iterator[Answer]:
    """The answer with one thing wrong."""
    yield replace(made, status=599)
    if "content_type" in expect:
        yield replace(made, content_type="other/type")
    if "text" in expect or "text_regex" in expect:
        yield replace(made, text=f"x{made.text}")
    if "json" in expect and (leaf := changed(expect["json"])) is not None:
        yield replace(made, text=json.dumps(filled(leaf)))


def filled(value: Any) -> Any:
    """The document with something of its type for each placeholder."""
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    return PLACEHOLDERS[value][0]() if value in PLACEHOLDERS else value
