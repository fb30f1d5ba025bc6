"""Label filters by columns: a test is made once a distinct value."""

from __future__ import annotations

import numpy as np

from logql.columns.frame import SPECIAL, Frame
from logql.columns.label_numbers import label_numbers
from logql.ip import has_address
from logql.literals import to_bytes
from logql.stages.label_filter import AddressTest, BothTests, EitherTest, LabelTest, StringTest, ValueComparison
from logql.stages.row import ERROR
from storage.batch import Mask


def names_tested(test: LabelTest) -> frozenset[str]:
    """The labels that a test reads."""
    if isinstance(test, BothTests | EitherTest):
        return names_tested(test.left) | names_tested(test.right)
    return frozenset([test.name])


def is_by_columns(test: LabelTest) -> bool:
    """Whether `passing` knows the test: not where `__error__` is read as more than a string."""
    if isinstance(test, BothTests | EitherTest):
        return is_by_columns(test.left) and is_by_columns(test.right)
    return test.name not in SPECIAL or (isinstance(test, StringTest) and test.name == ERROR)


def passing(frame: Frame, test: LabelTest) -> Mask:
    """bool[m]: the rows that a test lets through; those on which it would set an error become unsure."""
    match test:
        case BothTests(left, right):
            return passing(frame, left) & passing(frame, right)
        case EitherTest(left, right):
            return passing(frame, left) | passing(frame, right)
        case StringTest(name, negative, accepts):
            if name == ERROR:
                found: Mask = np.array([accepts(error) != negative for error in frame.errors], np.bool_)[frame.error]
                return found
            tested: Mask = frame.values(name).passing(accepts) != negative
            return tested
        case AddressTest(name, negative, accepts_address):
            values = frame.values(name)
            told = [has_address(to_bytes(text), accepts_address) != negative for text in values.texts]
            return values.told(told, missing=False) | frame.failed
        case ValueComparison():
            return _compared(frame, test)


def _compared(frame: Frame, test: ValueComparison) -> Mask:
    numbers = label_numbers(frame, test.name, test.parse)
    if numbers.bad.any():
        frame.doubt(numbers.bad)
    passed: Mask = np.asarray(test.compare(numbers.values, test.value), np.bool_)
    return passed & ~numbers.missing
