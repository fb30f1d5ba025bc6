"""listed-failures.txt: the cases that this version does not pass, with reasons. The list may only shrink."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.asking import Outcome
from tests.conformance.cases import areas, cases

FILE = Path(__file__).parent / "listed-failures.txt"
_AREA = "area:"


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known not to pass.

    Attributes:
        cases: id -> reason.
        not_run: area whose cases are no requests -> reason.
    """

    cases: Mapping[str, str]
    not_run: Mapping[str, str]

    @property
    def run(self) -> Sequence[str]:
        """The areas that are run, sorted."""
        return [area for area in areas() if area not in self.not_run]


def read(text: str) -> Listed:
    """Reads the list: `ID reason` or `area:NAME reason` a line; `#` begins a comment line.

    Raises:
        ValueError: a line has no reason, comes twice, or names nothing that is recorded; an area that could be run is
            not run.
    """
    known = {case.id for area in areas() for case in cases(area)}
    could_run = {area for area in areas() if any(case.is_http or case.is_tail for case in cases(area))}
    listed, not_run = dict[str, str](), dict[str, str]()
    for line in text.split("\n"):
        name, _, reason = line.strip().partition(" ")
        if not name or name.startswith("#"):
            continue
        area = name.removeprefix(_AREA) if name.startswith(_AREA) else None
        entries, key = (listed, name) if area is None else (not_run, area)
        if not reason.strip():
            raise ValueError(f"{name} has no reason")
        if key in entries:
            raise ValueError(f"{name} is listed twice")
        if key not in (known if area is None else set(areas())):
            raise ValueError(f"{name} is not recorded")
        if area in could_run:
            raise ValueError(f"{name} can be run: list the cases that fail")
        entries[key] = reason.strip()
    return Listed(listed, not_run)


def surprises(listed: Listed, outcomes: Iterable[Outcome]) -> list[str]:
    """What does not agree with the list: failures that are not in it, and passes that are."""
    found = []
    for outcome in outcomes:
        if outcome.error is None and outcome.case.id in listed.cases:
            found.append(f"{outcome.case.id} passes: remove it from {FILE.name}")
        elif outcome.error is not None and outcome.case.id not in listed.cases:
            found.append(f"{outcome.case.id} {_request(outcome)}\n    {outcome.error}")
    return found


def _request(outcome: Outcome) -> str:
    request = outcome.case.request
    return f"{request.get('method')} {request.get('path')} {request.get('params') or request.get('args')}"
