"""Damaged blocks: looked into, moved out of the way, remembered."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from storage import Store
from storage.blockread import Block
from storage.errors import CorruptBlock
from tests.storage.entries import DAY, NOON, entry, read, start, stored

ROWS = [entry("a", NOON, "one"), entry("a", NOON + DAY, "two")]
FOREVER = (0, 1 << 62)


def filled(folder: Path) -> tuple[Store, Block]:
    """A store with two blocks, and the first of them."""
    store = start(folder)
    stored(store, ROWS)
    store.flush()
    return store, store._state.tenants["t"].view.blocks[0]


def test_a_block_as_it_was_written_is_left_where_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, block = filled(tmp_path)
    assert not store.met_damage(CorruptBlock("a fault of the reader", block.path))
    assert "its bytes are those that were written" in caplog.text
    assert read(store) == ROWS
    assert store.missing("t", *FOREVER) == ()
    store.close()


def test_what_is_no_matter_of_a_block_is_not_tried_again(tmp_path: Path) -> None:
    store, _ = filled(tmp_path)
    assert not store.met_damage(CorruptBlock("somewhere"))
    store.close()


def test_a_damaged_block_is_moved_once_and_told_of_its_tenant_and_time(tmp_path: Path) -> None:
    store, block = filled(tmp_path)
    block.path.write_bytes(b"nothing")
    for _ in range(2):
        assert store.met_damage(CorruptBlock("a page", block.path))
    assert read(store) == ROWS[1:]
    (told,) = store.missing("t", *FOREVER)
    assert block.path.stem in told
    assert store.missing("t", NOON + 1, FOREVER[1]) == store.missing("other", *FOREVER) == ()
    assert store.figures().blocks_set_aside == 1
    store.close()
    store = start(tmp_path)
    assert store.missing("t", *FOREVER) == (told,)
    store.close()


def test_a_note_that_cannot_be_read_still_tells_the_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, block = filled(tmp_path)
    block.path.write_bytes(b"nothing")
    store.met_damage(CorruptBlock("a page", block.path))
    store.close()
    (note,) = tmp_path.glob("quarantine/blocks/t/*/*.json")
    note.write_bytes(b"{")
    store = start(tmp_path)
    assert "what its block held is not known" in caplog.text
    (told,) = store.missing("t", NOON, NOON + 1)
    assert "its entries between" in told
    store.close()


def test_on_a_disk_that_cannot_be_written_the_rest_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, block = filled(tmp_path)
    block.path.write_bytes(b"nothing")

    def refuse(_path: Path, _target: Path) -> Path:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        assert store.met_damage(CorruptBlock("a page", block.path))
    assert block.path.exists()
    assert read(store) == ROWS[1:]
    assert len(store.missing("t", *FOREVER)) == 1
    store.close()
    store = start(tmp_path)  # now it can be moved
    assert read(store) == ROWS[1:]
    assert not block.path.exists()
    assert len(store.missing("t", *FOREVER)) == 1
    store.close()
