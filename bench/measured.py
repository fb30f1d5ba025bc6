"""What one row came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.rows import OVER_FLOOR, row_named


@dataclass(frozen=True, slots=True)
class Measured:
    """One row's figure.

    Attributes:
        name: of the row.
        figure: in the row's unit, or None where it cannot be measured today.
        cpu: CPU-seconds behind it, or None if it is no matter of CPU.
        floor: CPU-seconds of its floor, or None.
        note: what is not there yet, or was measured in another way.
        further: more figures, by what they are.
    """

    name: str
    figure: float | None
    cpu: float | None = None
    floor: float | None = None
    note: str = ""
    further: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The row of results.json: `ratio` is the figure, in `unit`, to be held against `target` and `aim`."""
        row = row_named(self.name)
        return {
            "name": self.name,
            "cpu_s": _rounded(self.cpu),
            "floor_s": _rounded(self.floor),
            "ratio": _rounded(self.figure),
            "target": row.must,
            "aim": row.aim,
            "unit": row.unit,
            "ok": row.ok(self.figure),
            "loki": row.loki,
            "victorialogs": row.victorialogs,
            **({"part_of": row.part_of} if row.part_of else {}),
            **({"note": self.note} if self.note else {}),
            **({"further": {name: _rounded(value) for name, value in self.further.items()}} if self.further else {}),
        }


def over_floor(name: str, cpu: float, floor: float, note: str = "", **further: float) -> Measured:
    """A row whose figure is CPU over floor."""
    assert row_named(name).unit in OVER_FLOOR
    return Measured(name, cpu / floor, cpu, floor, note, further)


def _rounded(value: float | None) -> float | None:
    """Four digits: more would change with every run."""
    return None if value is None else float(f"{value:.4g}")
