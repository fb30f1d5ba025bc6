"""When records had been passed on: where relays are owed entries, these expire by age no sooner than that long after.

It is told of whole blocks and runs, by their last record. So a block's entries count as passed on when its newest was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.batch import I32, I64
from storage.blockread import Block
from storage.footer import OriginRange
from storage.memtable import Run
from storage.state import View

ALWAYS = int(np.iinfo(np.int64).min)
"""Of records from before the first relay: nobody is owed them."""
NEVER = int(np.iinfo(np.int64).max)
"""Of records that are owed, or were until a moment ago."""


@dataclass(frozen=True, slots=True, eq=False)
class Archived:
    """How far the relays that retention waits for were, and when.

    Attributes:
        origin: hex, of the data directory, whose records these are.
        at: int64[k], ns, ascending; the first may be ALWAYS.
        seq: int64[k], ascending: all records of smaller numbers had been passed then.
        owed_from: no record of a smaller number is owed now.
    """

    origin: str
    at: I64
    seq: I64
    owed_from: int

    def since(self, last: int) -> int:
        """ns, when all records up to one had been passed; NEVER if they are not, or it is not noted yet."""
        place = int(np.searchsorted(self.seq, last, side="right"))
        return NEVER if place == len(self.seq) else int(self.at[place])

    def of_block(self, block: Block) -> int:
        """As `since`, of the records that a block has rows of."""
        return self.since(self.last_of(block.origins))

    def of_run(self, run: Run) -> int:
        """As `since`, of the records that a run has rows of."""
        return self.since(run.last_seq)

    def owes(self, block: Block) -> bool:
        """Whether a block has rows of records that are owed."""
        return self.last_of(block.origins) >= self.owed_from

    def last_of(self, origins: Sequence[OriginRange]) -> int:
        """The last record of this data directory among some; 0 if there is none."""
        return max([item.last for item in origins if item.origin == self.origin], default=0)


def floor_since(floor: I64 | None, since: int) -> I64 | None:
    """The floor of what was passed on at `since` (ns); `floor` itself where that changes nothing.

    `floor`, int64[streams], ns: what is older has expired by its age alone, by periods that began as long ago.
    """
    if floor is None or since == ALWAYS or not len(floor):
        return floor
    in_force = floor >= since
    if (in_force | (floor == ALWAYS)).all():
        return floor
    return np.where(in_force, floor, ALWAYS) if in_force.any() else None


def floor_of_block(floor: I64 | None, archived: Archived | None, block: Block) -> I64 | None:
    """The floor of a block's entries."""
    return floor if floor is None or archived is None else floor_since(floor, archived.of_block(block))


def floor_of_run(floor: I64 | None, archived: Archived | None, run: Run) -> I64 | None:
    """The floor of a run's entries."""
    return floor if floor is None or archived is None else floor_since(floor, archived.of_run(run))


def lowered(floor: I64, archived: Archived, view: View) -> I64:
    """int64[streams], ns: the floor of each stream, but no later than an entry of it that has not expired."""
    highest = int(floor.max(initial=ALWAYS))
    found = floor.copy()
    for block in view.blocks:
        if block.min_ts < highest:
            _lower(found, floor, floor_of_block(floor, archived, block), block.streams, block.stream_min)
    for run in view.memory:
        if run.min_ts < highest:
            _lower(found, floor, floor_of_run(floor, archived, run), run.batch.stream, run.batch.ts)
    return found


def _lower(found: I64, floor: I64, own: I64 | None, stream: I32, ts: I64) -> None:
    """Lowers the floor of streams to some of their times (ns), where `own` is not the floor of these entries."""
    if own is floor:
        return
    spared = slice(None) if own is None else own[stream] < floor[stream]
    np.minimum.at(found, stream[spared], ts[spared])
