"""`| unwrap label`: the sample of a metric query is a label's number, as in Loki."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from logql import ast
from logql.convert import ConversionError, parse_bytes, parse_duration, parse_float
from logql.stages.label_filter import LabelTest, label_test
from logql.stages.row import Row

SAMPLE_ERROR = "SampleExtractionErr"

_NS_PER_SECOND = 1_000_000_000


def seconds_of(text: str) -> float:
    """The seconds of a duration, as Go's Duration.Seconds: whole seconds and the rest apart. Raises ConversionError."""
    ns = parse_duration(text)
    whole, rest = divmod(abs(ns), _NS_PER_SECOND)
    value = whole + rest / 1e9
    return -value if ns < 0 else value


def bytes_of(text: str) -> float:
    """The bytes of a size. Raises ConversionError."""
    return float(parse_bytes(text))


_CONVERSIONS: Mapping[str | None, Callable[[str], float]] = {
    None: parse_float,
    "bytes": bytes_of,
    "duration": seconds_of,
    "duration_seconds": seconds_of,
}


@dataclass(frozen=True, slots=True)
class UnwrapStage:
    """Takes the sample, after all other stages.

    The label stays on the row. It is no label of the series, but where a `by` names it: the grouping's business.

    Attributes:
        label: whose value is the sample.
        convert: text -> number; raises ConversionError.
        filters: tests after the unwrap.
    """

    label: str
    convert: Callable[[str], float]
    filters: tuple[LabelTest, ...]

    @classmethod
    def of(cls, node: ast.Unwrap) -> UnwrapStage:
        """The stage of a node. Raises RegexError, StageError: a filter cannot be built."""
        return cls(node.label, _CONVERSIONS[node.conversion], tuple(map(label_test, node.filters)))

    def sample(self, row: Row) -> float | None:
        """The value, or None when the row gives no sample: the label is missing or "", or a filter drops it.

        A value that is no number gives 0 and sets `SampleExtractionErr`.
        """
        text = row.get(self.label)
        if not text:
            return None
        try:
            value = self.convert(text)
        except ConversionError as error:
            value = 0.0
            row.fail(SAMPLE_ERROR, str(error))
        return value if all(test.apply(row) for test in self.filters) else None
