"""The `explain` object of a query's answer: how the query was understood, what it read, and where its time went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.query.errors import BadParameter
from gateway.query.params import Form, first
from logql import Explanation, Expr, StageText, Stats, TimedStage

_TRUTHS = {"": False, "true": True, "1": True, "false": False, "0": False}


def wants_explanation(form: Form) -> bool:
    """Whether `explain` is asked for.

    Raises:
        BadParameter: it is neither true nor false.
    """
    text = first(form, "explain")
    try:
        return _TRUTHS[text.lower()]
    except KeyError as error:
        raise BadParameter(f"could not parse 'explain' parameter: '{text}' is neither true nor false") from error


class Explainer:
    """Writes what is known of a query as JSON. For the thread that writes the answer's end."""

    def __init__(self, expr: Expr, explanation: Explanation, stats: Stats) -> None:
        self._expr = expr
        self._explanation = explanation
        self._stats = stats

    def timed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Pieces of the answer; the time to make each counts as encoding it."""
        while True:
            with self._explanation.span(TimedStage.ENCODE):
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    def member(self) -> bytes:
        """The object as it is now, with its key and the comma before: what stands after `stats`."""
        return b',"explain":%b' % msgspec.json.encode(explained(self._expr, self._explanation, self._stats))


def explained(expr: Expr, explanation: Explanation, stats: Stats, *, ended: bool = True) -> dict[str, Any]:
    """What is known of a query, as JSON has it; `stats` of what it took so far. `ended`: by itself, with an answer."""
    found = explanation
    survey, units, lines, steps = found.survey, found.units(), found.lines(), found.steps()
    return {
        "query": str(expr),
        "plans": [
            {
                "of": plan.text,
                "selector": plan.selector,
                "stages": [_stage(stage) for stage in plan.stages],
                "made": _by(by_columns=plan.by_columns),
            }
            for plan in found.plans
        ],
        "streams": {"considered": survey.streams, "matching": survey.streams_matching},
        "blocks": {
            "considered": survey.blocks,
            "skipped": {"outOfTime": survey.blocks_out_of_time, "noMatchingStream": survey.blocks_without_streams},
        },
        "units": {
            "considered": survey.groups + survey.runs,
            "read": {"blocks": units.lines_of_blocks, "memory": units.lines_of_memory},
            "linesNotRead": {
                "metadataSufficed": units.metadata,
                "timesSufficed": units.times,
                "totalsSufficed": units.totals,
                **({"keptSufficed": units.cached} if found.light else {}),
            },
            "skipped": {
                "outOfTime": survey.runs_out_of_time,
                "noMatchingStream": survey.groups_without_rows,
                "limitReached": units.unread if ended else 0,
                **({} if ended else {"notComeTo": units.unread}),
            },
        },
        "lines": {"read": lines.lines, "bytes": lines.line_bytes, "compressedBytes": lines.compressed_bytes},
        "entries": [
            {"step": "matched by streams and time", "entries": stats.lines},
            *({"step": step, "entries": entries} for step, entries in steps.items()),
            {"step": "came through", "entries": stats.post_filter_lines},
            {"step": "returned", "entries": stats.entries_returned},
        ],
        "stages": [
            {"stage": stage, "seconds": round(taken.wall, 6)}
            | ({} if found.light else {"cpuSeconds": round(taken.cpu, 6)})
            for stage, taken in found.seconds().items()
        ],
    }


def _stage(stage: StageText) -> dict[str, Any]:
    told: dict[str, Any] = {"stage": stage.text, "by": _by(by_columns=stage.by_columns)}
    if stage.labels is not None:
        told["labels"] = stage.labels
    if stage.literals:
        told["literals"] = stage.literals
    return told


def _by(*, by_columns: bool) -> str:
    return "columns" if by_columns else "row by row"
