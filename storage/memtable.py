"""Entries in memory: runs, each the immutable rows of some WAL records, joined as they pile up.

A tenant's runs are a tuple that is replaced, never changed: a reader takes it and needs no lock. Runs have ranks,
powers of FAN in size; FAN runs of a rank become one of the next. So a row is copied once a rank, LEVELS times at most,
when runs come in equal sizes, and at the end stand at most (FAN - 1) * LEVELS small ones (ADR 3 measures it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.batch import Batch
from storage.rows import batch_bytes, concat_batches

FAN = 16
LEVELS = 3
"""FAN**LEVELS is RUN_ROWS."""
RUN_ROWS = 1 << 12
"""Rows at which a run is left alone: enough that a scan's cost a unit does not count (ADR 3)."""
RUN_BYTES = 1 << 20
"""Bytes at which a run is left alone."""

ENOUGH = 4
"""Part of these limits, one in so many, from which a run that was joined is left alone too: to copy it again would only
halve the number of runs once or twice (pushes of 100 lines are joined to 400 KB, two of which would fit in one)."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Run:
    """Rows of one tenant in order of arrival.

    Attributes:
        batch: the rows, at least one.
        first_seq: number of the first WAL record with a row here.
        last_seq: number of the last one.
        min_ts: ns.
        max_ts: ns.
        nbytes: bytes of memory.
        sealed: whether the run is too large to be joined again.
        rank: how many times FAN goes into its size, LEVELS once it is sealed. Bytes count as rows do.
    """

    batch: Batch
    first_seq: int
    last_seq: int
    min_ts: int
    max_ts: int
    nbytes: int
    sealed: bool
    rank: int

    def __len__(self) -> int:
        return len(self.batch)

    def of_record(self, seq: int) -> Run:
        """The same rows as those of the record of that number."""
        return Run(self.batch, seq, seq, self.min_ts, self.max_ts, self.nbytes, self.sealed, self.rank)


def make_run(
    batch: Batch, first_seq: int, last_seq: int, times: tuple[int, int] | None = None, *, sealed: bool = False
) -> Run:
    """A run of a batch that is not empty.

    Args:
        batch: the rows.
        first_seq: number of the first record with one of them.
        last_seq: number of the last one.
        times: ns, the least and the greatest ts, if they are known.
        sealed: it is not to be joined again, whatever its size.
    """
    nbytes, rows = batch_bytes(batch), len(batch.ts)
    sealed = sealed or rows >= RUN_ROWS or nbytes >= RUN_BYTES
    size = max(rows, nbytes * RUN_ROWS // RUN_BYTES, 1)
    first, last = times or (int(batch.ts.min()), int(batch.ts.max()))
    return Run(
        batch=batch,
        first_seq=first_seq,
        last_seq=last_seq,
        min_ts=first,
        max_ts=last,
        nbytes=nbytes,
        sealed=sealed,
        rank=LEVELS if sealed else (size.bit_length() - 1) // (FAN.bit_length() - 1),
    )


def join_runs(runs: Sequence[Run], *, sealed: bool = False) -> Run:
    """One run of all rows of some neighbours."""
    return make_run(
        concat_batches([run.batch for run in runs]),
        runs[0].first_seq,
        runs[-1].last_seq,
        (min([run.min_ts for run in runs]), max([run.max_ts for run in runs])),
        sealed=sealed,
    )


def add_run(runs: tuple[Run, ...], run: Run) -> tuple[Run, ...]:
    """The runs with one more at the end, small ones joined."""
    if run.sealed:
        return (*_packed(runs, _unsealed(runs)), run)  # nothing will reach behind it again
    runs = (*runs, run)
    while (tail := _tail(runs)) >= FAN:
        runs = _packed(runs, tail)
    return runs


def _packed(runs: tuple[Run, ...], count: int) -> tuple[Run, ...]:
    """The runs with the last `count` of them joined."""
    return runs if count < 2 else (*runs[:-count], *_pack(runs[-count:]))


def _unsealed(runs: tuple[Run, ...]) -> int:
    """How many runs at the end are not sealed."""
    return next((at for at, run in enumerate(reversed(runs)) if run.sealed), len(runs))


def _tail(runs: tuple[Run, ...]) -> int:
    """How many runs at the end are of no higher rank than the last one; 0 if that is sealed.

    The last one's rank decides: were smaller runs to count towards a larger rank, every 15 single rows would copy a run
    of thousands.
    """
    if runs[-1].sealed:
        return 0
    rank = runs[-1].rank
    count = 0
    for run in reversed(runs):
        if run.sealed or run.rank > rank:
            break
        count += 1
    return count


def _pack(runs: Sequence[Run]) -> list[Run]:
    """The runs joined with their neighbours up to the limits; all but the last are sealed."""
    packs: list[list[Run]] = [[]]
    rows = nbytes = 0
    for run in runs:
        if packs[-1] and (rows + len(run) > RUN_ROWS or nbytes + run.nbytes > RUN_BYTES):
            packs.append([])
            rows = nbytes = 0
        packs[-1].append(run)
        rows += len(run)
        nbytes += run.nbytes
    return [join_runs(pack, sealed=at < len(packs) - 1 or _is_enough(pack)) for at, pack in enumerate(packs)]


def _is_enough(pack: Sequence[Run]) -> bool:
    """Whether some runs, joined, are to be left alone."""
    return (
        sum([len(run) for run in pack]) * ENOUGH >= RUN_ROWS or sum([run.nbytes for run in pack]) * ENOUGH >= RUN_BYTES
    )
