"""backup.json: what a backup consists of. It is written last, so a folder without it is no whole backup."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from storage.copying import FileSum
from storage.errors import StorageError
from storage.segment import sync_directory

NAME = "backup.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole backup.

    Attributes:
        made: when it was begun, RFC 3339 in UTC.
        files: path relative to the backup, with `/`, -> what the file must be.
    """

    made: str
    files: Mapping[str, FileSum]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def count(self, folder: str) -> int:
        """Files below a folder."""
        return sum(name.startswith(f"{folder}/") for name in self.files)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Makes a backup whole, durably. Raises OSError."""
    files = {name: {"size": file.size, "crc32c": f"{file.crc:08x}"} for name, file in sorted(manifest.files.items())}
    said = {"weir_backup": VERSION, "made": manifest.made, "files": files}
    temporary = folder / f"{NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(said, file, ensure_ascii=False, indent=0)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / NAME)
    sync_directory(folder)


def is_backup(folder: Path) -> bool:
    """Whether the folder is a whole backup."""
    return (folder / NAME).exists()


def read_manifest(folder: Path) -> Manifest:
    """What a backup consists of. Raises StorageError if it is none or its list cannot be read, OSError."""
    if not folder.is_dir():
        raise StorageError(f"there is no folder {folder}")
    if not is_backup(folder):
        raise StorageError(f"{folder} has no file {NAME}: it is no backup, or one that was cut short")
    try:
        said = json.loads((folder / NAME).read_text("utf-8"))
        version = said["weir_backup"]
        if version != VERSION:
            raise StorageError(f"{folder} is a backup of version {version}, which this version of Weir does not know")
        files = {name: FileSum(int(file["size"]), int(file["crc32c"], 16)) for name, file in said["files"].items()}
        manifest = Manifest(str(said["made"]), files)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"{folder / NAME} is damaged: {error}") from error
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise StorageError(f"{folder / NAME} names a file outside of the backup: {name}")
    return manifest
