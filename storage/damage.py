"""What to do with a block that could not be read: make sure that it is damaged, and if so set it aside."""

from __future__ import annotations

import logging
from pathlib import Path

from storage.blockread import Block, forget
from storage.catalog import Catalog, file_checksum
from storage.errors import CorruptBlock, StorageError
from storage.setaside import Missing, SetAside
from storage.state import State, Tenant

log = logging.getLogger("weir.storage")


class Damage:
    """Looks into blocks that readers complained of. Used by any thread but the event loop's."""

    def __init__(self, data_dir: Path, state: State, catalog: Catalog, aside: SetAside) -> None:
        self._data_dir = data_dir
        self._state = state
        self._catalog = catalog
        self._aside = aside

    def met(self, error: CorruptBlock) -> bool:
        """Whether what raised the error is worth another try: its block is out of the way, by this call or another's.

        A block whose bytes are those that were written is left where it is: then the fault is not the file's, and
        moving it would lose what can be read.

        Raises:
            OSError: the file cannot be read or moved for a reason that says nothing about its contents.
        """
        if error.path is None:
            return False
        found = self._find(error.path)
        if found is None:
            return True
        tenant, block = found
        listed = self._catalog.crc_of(self._name(block))
        if listed is None:
            return True  # replaced in this moment: the next view has another block in its place
        if not _differs(block.path, listed):
            log.error("block %s could not be read, but its bytes are those that were written: %s", block.path, error)
            return False
        missing = Missing(tenant.name, block.path.stem, block.min_ts, block.max_ts, block.rows, str(error))
        self._aside.take(block.path, missing, lambda: self._forget(tenant, block))
        return True

    def _find(self, path: Path) -> tuple[Tenant, Block] | None:
        for tenant in list(self._state.tenants.values()):
            for block in tenant.view.blocks:
                if block.path == path:
                    return tenant, block
        return None

    def _name(self, block: Block) -> str:
        return str(block.path.relative_to(self._data_dir))

    def _forget(self, tenant: Tenant, block: Block) -> None:
        try:
            self._catalog.add([], [self._name(block)])
        except StorageError as error:
            log.warning("%s; the next start finds out that block %s was moved", error, block.path.stem)
        with self._state.lock:
            tenant.set_view(tenant.view.with_replaced([block], None))
        forget(block.path)


def _differs(path: Path, crc: int) -> bool:
    """Whether a file is gone, or has another CRC32C. Raises OSError."""
    try:
        return file_checksum(path)[1] != crc
    except FileNotFoundError:
        return True
