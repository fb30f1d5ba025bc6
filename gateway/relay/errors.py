"""What is asked of relays and cannot be done. gateway/errors.py alone turns these into statuses."""

from __future__ import annotations


class UnknownRelay(Exception):  # noqa: N818 - named for what happened
    """No relay has that name, in the settings or among those that something is kept for (404)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no relay {name!r}")


class UnknownBatch(Exception):  # noqa: N818 - named for what happened
    """No batch has that id, or it is done already: there is nothing left to do with it (404)."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"there is no batch {uuid} that waits to be sent or was refused")
