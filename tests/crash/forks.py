"""Servers, forks of a process that has imported all of Weir (tests/forks.py), that faults can be told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.forks import Forks
from tests.server import Running, ServerProcess

__all__ = ["CONSTANTS", "ForkedServer", "Forks"]

CONSTANTS: Mapping[str, object] = {
    "storage.compact.worker.TICK": 0.05,
    "storage.compact.worker.BACKOFF": (0.2,),
    "storage.expiry.LOOK_EVERY": 0.1,
}
"""How often the maintenance thread looks: what takes a minute elsewhere is to be seen at once."""


class ForkedServer(ServerProcess):
    """A server that faults can be told to.

    Args:
        forks: whose fork it becomes.
        data_dir, args: as of ServerProcess.
        constants: MODULE.NAME -> value, beside CONSTANTS.
        inside: a process in whose namespaces it runs.
    """

    def __init__(
        self,
        forks: Forks,
        data_dir: Path,
        *args: str,
        constants: Mapping[str, object] | None = None,
        inside: int | None = None,
    ) -> None:
        super().__init__(data_dir, *args)
        self._forks = forks
        self._inside = inside
        self._constants = {**CONSTANTS, **(constants or {})}
        self._beside = data_dir.with_name(f"{data_dir.name}-faults")
        self._kill: tuple[str, int] | None = None

    def suffer(self, *faults: str) -> None:
        """What is wrong from now on; see faults.py."""
        # Renamed into place: the server must not read half a sentence.
        written = self._beside.with_suffix(".new")
        written.write_text("\n".join(faults))
        written.rename(self._beside)

    def kill_at(self, thread: str, step: int) -> None:
        """The next start ends, by SIGKILL, after so many steps of a thread that change the disk; see steps.py."""
        self.killed_at.unlink(missing_ok=True)
        self._kill = thread, step

    @property
    def killed_at(self) -> Path:
        """A file that then says at which kind of step it was."""
        return self._beside.with_suffix(".step")

    def _spawn(self, wrapper: Sequence[str], arguments: Sequence[str], env: Mapping[str, str], log: Path) -> Running:
        assert not wrapper, "a fork has no command"
        kill, self._kill = self._kill, None
        return self._forks.launch(
            arguments,
            env,
            stdout=log,
            stderr=log,
            constants=self._constants,
            inside=self._inside,
            faults=None if kill else str(self._beside),
            kill=[*kill, str(self.killed_at)] if kill else None,
        )
