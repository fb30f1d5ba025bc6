from __future__ import annotations

import numpy as np

from storage.memtable import Run, make_run
from storage.rows import renumber
from storage.state import State, Tenant, View, empty_bounds
from tests.storage.entries import batch_of, entry


def run_of(tenant: Tenant, app: str, *times: int) -> Run:
    batch = batch_of([entry(app, ts) for ts in times])
    numbers = np.array([tenant.table.intern(labels) for labels in batch.streams], np.int32)
    return make_run(renumber(batch, tenant.table, numbers), 1, 1)


def test_bounds_follow_what_is_in_memory() -> None:
    tenant = Tenant("t")
    view = View().with_run(run_of(tenant, "a", 5, 3), 1).with_run(run_of(tenant, "b", 7), 2)
    assert (view.bounds.oldest[:2].tolist(), view.bounds.newest[:2].tolist()) == ([3, 7], [5, 7])
    frozen = view.with_frozen().with_run(run_of(tenant, "b", 9), 2)
    assert (frozen.bounds.oldest[:2].tolist(), frozen.bounds.newest[:2].tolist()) == ([3, 7], [5, 9])
    flushed = frozen.with_blocks(())
    assert flushed.bounds.held()[:2].tolist() == [False, True]
    assert (flushed.bounds.oldest[1], flushed.bounds.newest[1]) == (9, 9)


def test_bounds_of_a_view_that_a_reader_holds_still_cover_its_runs_after_a_flush() -> None:
    tenant = Tenant("t")
    held = View().with_run(run_of(tenant, "a", 5), 1)
    later = held.with_frozen().with_blocks(())
    assert not later.bounds.held().any()
    assert held.bounds.held()[0]


def test_bounds_grow_with_the_table() -> None:
    bounds = empty_bounds(2)
    assert bounds.grown(2) is bounds
    grown = bounds.grown(3)
    grown.widen(np.array([2], np.int32), np.array([4], np.int64))
    assert grown.held()[:3].tolist() == [False, False, True]


def test_rows_in_memory_have_an_age_and_bytes() -> None:
    tenant = Tenant("t")
    tenant.set_view(tenant.view.with_run(run_of(tenant, "a", 1), 1))
    first = tenant.since
    assert first is not None
    tenant.set_view(tenant.view.with_run(run_of(tenant, "a", 2), 1))
    assert tenant.since == first
    assert tenant.nbytes == sum(run.nbytes for run in tenant.view.memory) > 0


def test_without_rows_in_memory_there_is_no_age() -> None:
    tenant = Tenant("t")
    tenant.set_view(tenant.view.with_run(run_of(tenant, "a", 1), 1))
    tenant.set_view(tenant.view.with_frozen().with_blocks(()))
    assert tenant.since is None
    assert tenant.nbytes == 0


def test_a_tenant_is_made_once() -> None:
    state = State()
    assert state.tenant("t") is state.tenant("t")
    assert state.tenant("u") is not state.tenant("t")
    assert state.memory_bytes == 0
