"""The deletes that a start finds: what they say, and which rows of the log they keep from coming back.

Records from before a delete may outlast the blocks that their rows went to: a block that loses all its rows goes. So
replay leaves deleted rows out, of every delete that was not called off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from storage.batch import Batch, Mask
from storage.control import Control, DeleteRecord, DeleteStatus
from storage.errors import BadDelete, CorruptCatalog
from storage.rows import take_rows
from storage.state import Tenant
from storage.streams import LabelMatcher
from storage.tombstones import Chooser

Compiler: TypeAlias = Callable[[str], tuple[Sequence[LabelMatcher], Chooser | None]]
"""What a delete's query says: matchers of streams, and which of their entries; None: all. Raises BadDelete."""


def no_language(query: str) -> tuple[Sequence[LabelMatcher], Chooser | None]:
    """The compiler of a store that was given none. Raises BadDelete."""
    raise BadDelete(f"no language is known in which {query!r} could be read")


@dataclass(frozen=True, slots=True, eq=False)
class _Erasing:
    """A delete as replay needs it."""

    record: DeleteRecord
    matchers: Sequence[LabelMatcher]
    chooses: Chooser | None

    def erased(self, tenant: Tenant, batch: Batch) -> Mask:
        """bool[n]: the entries of a batch that it deletes."""
        found = tenant.table.accepted(self.matchers)[batch.stream]
        found &= (batch.ts >= self.record.first) & (batch.ts <= self.record.last)
        if self.chooses is not None and found.any():
            at = np.flatnonzero(found)
            found[at] = self.chooses(take_rows(batch, at))
        return found


class KnownDeletes:
    """The deletes of control.db, for a start: a replay.Erased."""

    def __init__(self, control: Control, compiler: Compiler) -> None:
        """Raises StorageError if control.db cannot be read, CorruptCatalog if the query of an open delete cannot."""
        self._compiler = compiler
        self._compiled: dict[str, _Erasing] = {}
        self.records = [each for each in control.deletes() if each.status is not DeleteStatus.CANCELLED]
        self.generation = max((each.generation for each in self.records), default=0)
        """No block of a later generation had been made when the last of them was accepted."""
        self.seq: dict[str, int] = {}
        for each in self.records:
            self.seq[each.origin] = max(self.seq.get(each.origin, 0), each.seq)
            if each.is_open:
                self.compiled(each)

    def erased(self, tenant: Tenant, origin: str, last_seq: int, batch: Batch) -> Mask | None:
        """See replay.Erased. Raises CorruptCatalog."""
        if last_seq > self.seq.get(origin, 0):
            return None
        found: Mask | None = None
        for each in self.records:
            if each.tenant == tenant.name and each.origin == origin and last_seq <= each.seq:
                gone = self.compiled(each).erased(tenant, batch)
                found = gone if found is None else found | gone
        return found

    def compiled(self, record: DeleteRecord) -> _Erasing:
        """A delete, its query read. Raises CorruptCatalog: it must not be passed over, so no server starts."""
        known = self._compiled.get(record.id)
        if known is None:
            try:
                known = _Erasing(record, *self._compiler(record.query))
            except BadDelete as error:
                raise CorruptCatalog(f"the query of delete {record.id} cannot be read: {error}") from error
            self._compiled[record.id] = known
        return known
