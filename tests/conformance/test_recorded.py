"""A server with Loki's own settings file gives a real Loki's answers, wherever its data is."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conformance.asking import ask
from tests.conformance.cases import WRITING, areas, cases
from tests.conformance.listed import FILE, read, surprises
from tests.conformance.states import STATES, connected, fresh_server
from tests.conformance.table import DOCUMENT, in_document, rows, section

LISTED = read(FILE.read_text("utf-8"))


@pytest.fixture(scope="module", params=list(STATES))
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with fresh_server(tmp_path_factory.mktemp("conformance") / "data") as server:
        STATES[request.param](server)
        with connected(server) as client:
            yield client


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with fresh_server(tmp_path_factory.mktemp("conformance") / "data") as server:
        STATES["in memory"](server)
        with connected(server) as client:
            yield client


@pytest.mark.parametrize("area", [area for area in LISTED.run if area not in WRITING])
def test_reads_answer_as_recorded(reader: httpx.Client, area: str) -> None:
    found = surprises(LISTED, [ask(reader, case) for case in cases(area)])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("area", [area for area in WRITING if area in LISTED.run])
def test_writes_answer_as_recorded(writer: httpx.Client, area: str) -> None:
    found = surprises(LISTED, [ask(writer, case) for case in cases(area)])
    assert not found, "\n".join(found)


def test_every_area_is_run_or_said_not_to_be() -> None:
    assert set(areas()) == {*LISTED.run, *LISTED.not_run}
    assert all(case.area == area for area in areas() for case in cases(area))


def test_the_document_shows_what_the_list_says() -> None:
    shown = in_document(DOCUMENT.read_text("utf-8"))
    assert shown == section(rows(LISTED, LISTED.cases)), "run `make conformance`"
