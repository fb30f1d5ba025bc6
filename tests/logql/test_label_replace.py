from __future__ import annotations

import pytest

from logql.ast import LabelReplace, Literal
from logql.label_replace import Relabelled
from logql.vectors import Sample
from storage.batch import Labels
from tests.logql.vector_lists import ListedVectors, listed

POD: Labels = (("pod", "api-0"),)


def replaced(template: str, regex: str, *, dst: str = "n", src: str = "pod", labels: Labels = POD) -> dict[str, str]:
    operand = ListedVectors([[Sample(labels, 1.0)]])
    ((sample,),) = listed(Relabelled(LabelReplace(Literal(0.0), dst, template, src, regex), operand), 0, 1)
    assert sample.value == 1.0
    assert list(sample.labels) == sorted(sample.labels)
    return dict(sample.labels)


@pytest.mark.parametrize(
    ("template", "regex", "wanted"),
    [
        ("${1}x", "(a)pi-.*", "ax"),
        ("$2-$1", r"(\w+)-(\d)", "0-api"),
        ("const", ".*", "const"),
        ("$$1", "(.*)", "$1"),
        ("$-${", "(.*)", "$-${"),
        ("$name!", "(?P<name>a).*", "a!"),
        ("é-$1", "api-(.)", "é-0"),
        ("$0", "api-.", "api-0"),
        ("x$01", "(.*)", "x"),
    ],
)
def test_a_match_sets_the_label(template: str, regex: str, wanted: str) -> None:
    assert replaced(template, regex) == {"pod": "api-0", "n": wanted}


@pytest.mark.parametrize(
    ("template", "regex"),
    [("$1", "nomatch(.*)"), ("$1", "pi-(.*)"), ("$1_y", "(.*)-.*"), ("$9", "(.*)"), ("$1", "api-0(x)?")],
)
def test_no_match_and_an_empty_value_set_nothing(template: str, regex: str) -> None:
    assert replaced(template, regex) == {"pod": "api-0"}


def test_an_empty_value_removes_the_label() -> None:
    assert replaced("", "a.*", dst="pod") == {}


def test_a_missing_source_is_empty() -> None:
    assert replaced("b", "", dst="a", src="", labels=()) == {"a": "b"}


def test_series_that_become_equal_stay_apart() -> None:
    node = LabelReplace(Literal(0.0), "pod", "same", "pod", ".*")
    operand = ListedVectors([[Sample(POD, 1.0), Sample((("pod", "x"),), 2.0)]])
    assert listed(Relabelled(node, operand), 0, 1) == [
        [Sample((("pod", "same"),), 1.0), Sample((("pod", "same"),), 2.0)]
    ]
