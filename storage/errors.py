"""What storage raises. gateway/errors.py alone turns these into statuses."""

from __future__ import annotations

from pathlib import Path


class StorageError(Exception):
    """Base of everything storage raises on purpose."""


class StorageUnavailable(StorageError):  # noqa: N818 - a state, not a mistake: the caller is to come back later
    """Writing is refused for now (disk full, failed sync, flush far behind); nothing of the batch was kept.

    LOKI-DIFF(4): Loki goes on acknowledging when its log cannot be written.

    Attributes:
        retry_after: seconds after which a client should try again.
    """

    def __init__(self, message: str, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class BatchIdConflict(StorageError):  # noqa: N818 - named for what happened
    """A batch id that was used before came with other contents."""


class DirectoryLocked(StorageError):  # noqa: N818 - named for what happened
    """Another process holds the data directory; the text names it."""


class CorruptSegment(StorageError):  # noqa: N818 - named for what happened
    """A WAL segment has bytes that are no record; the text names segment and offset."""


class CorruptBlock(StorageError):  # noqa: N818 - named for what happened
    """A block's footer or a page fails its checksum, or its file is gone; the text names it.

    Attributes:
        path: the file, where it is known.
    """

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class CorruptCatalog(StorageError):  # noqa: N818 - named for what happened
    """A SQLite file cannot be read; the text says how to go on."""


class BadDelete(StorageError):  # noqa: N818 - named for what happened
    """A delete's query cannot be read."""


class UnknownDelete(StorageError):  # noqa: N818 - named for what happened
    """A tenant has no delete of that id that is still to be carried out, or ever was."""

    def __init__(self) -> None:
        super().__init__("could not find delete request with given id")


class DeleteBegun(StorageError):  # noqa: N818 - named for what happened
    """A delete cannot be called off: it is being carried out, or is done."""
