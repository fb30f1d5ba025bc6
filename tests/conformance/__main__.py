"""Runs the recorded cases against a fresh server, prints a table by area, writes it into COMPATIBILITY.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.conformance.asking import Outcome, ask
from tests.conformance.cases import WRITING, cases
from tests.conformance.listed import FILE, Listed, read, surprises
from tests.conformance.states import STATES, connected, fresh_server
from tests.conformance.table import DOCUMENT, plain, rows, section, with_section


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--area", action="append", help="only this area (again for more); nothing is written")
    parser.add_argument("--state", choices=list(STATES), default="in memory", help="where the data is")
    parser.add_argument("--verbose", "-v", action="store_true", help="print listed failures too")
    parser.add_argument("--url", help="a running server that holds the data set alone; nothing is written")
    options = parser.parse_args(arguments)
    listed = read(FILE.read_text())
    only = options.area or listed.run
    if unknown := set(only) - set(listed.run):
        parser.error(f"no such area, or one that is not run: {', '.join(sorted(unknown))}")
    with _server(options.url, options.state) as client:
        outcomes = [ask(client, case) for area in _in_order(only) for case in cases(area)]
    return _report(listed, outcomes, verbose=options.verbose, whole=not options.area and not options.url)


@contextmanager
def _server(url: str | None, state: str) -> Iterator[httpx.Client]:
    if url:
        with httpx.Client(base_url=url, timeout=60) as client:
            yield client
        return
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder, fresh_server(Path(folder) / "data") as server:
        STATES[state](server)
        with connected(server) as client:
            yield client


def _in_order(names: Sequence[str]) -> list[str]:
    """Areas that write come last."""
    return [*(area for area in names if area not in WRITING), *(area for area in WRITING if area in names)]


def _report(listed: Listed, outcomes: Sequence[Outcome], *, verbose: bool, whole: bool) -> int:
    found = surprises(listed, outcomes)
    if verbose:
        for one in outcomes:
            if one.error and one.case.id in listed.cases:
                print(f"{one.case.id} is listed: {one.error}")
    print("\n".join(found))
    asked = {one.case.area for one in outcomes}
    table = rows(listed, {one.case.id for one in outcomes if one.error})
    print(plain([row for row in table if row.area in asked or (whole and row.passed is None)]))
    print(f"{sum(one.reformatted for one in outcomes)} numbers are equal but written otherwise")
    if whole:
        DOCUMENT.write_text(with_section(DOCUMENT.read_text(), section(table)))
    if found:
        print(f"{len(found)} cases do not agree with {FILE.name}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
