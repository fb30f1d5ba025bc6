"""The files that are followed: new ones, renamed ones, ones begun anew, and packed or copied forms of known ones.

A file is its inode while it can be seen, and its content else: the digest of its beginning, and of what stands before
the position. That is how a file that logrotate copied or compressed is known for one that was read.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeAlias

import msgspec

from gateway.collect.figures import CollectorFigures
from gateway.collect.followed import Followed
from gateway.collect.positions import Position
from gateway.collect.prints import HEAD, TAIL, Print, digest
from gateway.collect.rules import Rule, rule_of
from gateway.collect.sources import Changed, Damaged, PackedFile, PlainFile, is_packed
from gateway.logs import event

_log = logging.getLogger("weir.collect")

FORGET = 7 * 86_400 * 10**9
"""ns for which a file that is gone is remembered, as its packed form may still come."""
SEARCH = 60 * 10**9
"""ns for which the rest of a file is looked for that was moved, or begun anew, before it was read to its end."""
IDLE = 600 * 10**9
"""ns after which a file that does not change is closed."""

Ident: TypeAlias = tuple[int, int]
"""Device and inode."""
Seen: TypeAlias = tuple[int, int]
"""Size and time of the last change: what tells that a file is not written to."""


P = ParamSpec("P")


class Following:
    """The files of some rules.

    Args:
        rules: of several for one file the first holds.
        positions: what is known of before.
        figures: counted on.
    """

    def __init__(self, rules: Sequence[Rule], positions: Sequence[Position], figures: CollectorFigures) -> None:
        self._rules = rules
        self._figures = figures
        self._files: dict[int, Followed] = {}
        self._by_ident: dict[Ident, Followed] = {}
        self._by_folder: dict[str, dict[int, Followed]] = {}
        self._damaged: dict[int, Seen] = {}
        self._young: dict[str, Seen] = {}
        self._troubles: dict[str, str] = {}
        self._key = 0
        self._is_first = not positions
        for position in positions:
            self._add(Followed(position, rule_of(rules, position.source), path=position.path))
        self.changed = False

    @property
    def files(self) -> Iterator[Followed]:
        """Those that are not done."""
        return (file for file in self._files.values() if not file.position.is_done)

    @property
    def positions(self) -> list[Position]:
        """Of all files, by key."""
        return [file.position for file in self._files.values()]

    @property
    def has_young(self) -> bool:
        """Whether there are files of which it is not known yet what they are."""
        return bool(self._young)

    def scan(self) -> None:
        """Looks which files there are."""
        now = time.time_ns()
        found = self._found()
        fresh: list[tuple[int, str, Rule, os.stat_result]] = []
        for ident, (path, rule, known) in found.items():
            file = self._by_ident.get(ident)
            if file is None:
                fresh.append((known.st_mtime_ns, path, rule, known))
                continue
            self._meet(file, path, known, now)
        for file in list(self._files.values()):
            if (file.position.device, file.position.inode) not in found:
                self._miss(file, now)
        paths = {each[1] for each in fresh}
        self._young = {path: seen for path, seen in self._young.items() if path in paths}
        # The oldest first, so that lines get their times in the order in which they were written.
        for _, path, rule, known in sorted(fresh, key=lambda each: each[0]):
            if (known.st_dev, known.st_ino) in self._by_ident:
                continue  # found just now to be what a known file has become
            self._guarded(path, self._meet_new, path, rule, known, now)
        self._is_first = False
        self._figures.files = sum(1 for _ in self.files)
        self._figures.backlog = sum(map(_backlog, self.files))

    def begin_anew(self, file: Followed) -> None:
        """A file's content is another: what was not read of the former may stand in a copy beside it."""
        self._figures.rotations += 1
        event(_log, logging.INFO, "a file was begun anew", file=file.path, read=file.offset)
        if file.offset:
            rest = msgspec.structs.replace(
                file.position, key=self._next_key(), device=0, inode=0, touched=time.time_ns()
            )
            follower = Followed(rest, file.rule, path=file.path, is_gone=True)
            self._add(follower)
            self._search(follower, time.time_ns())
        file.position = msgspec.structs.replace(file.position, print=Print(), form="", said={})
        self.changed = True
        if isinstance(source := file.source, PlainFile):
            # The inode stays, whatever its name leads to now.
            source.restart()
        else:
            file.opened(None)
            self._guarded(file.path, self._open, file, file.path)

    def finish(self, file: Followed) -> None:
        """All of a file was read."""
        file.opened(None)
        self._done(file)

    def trouble(self, file: Followed, error: Exception) -> None:
        """A file cannot be read."""
        self._tell(file.path, error)
        if isinstance(error, Damaged):
            self._set_damaged(file, file.path)

    def close(self) -> None:
        """Gives all files back."""
        for file in self._files.values():
            file.opened(None)

    def _found(self) -> dict[Ident, tuple[str, Rule, os.stat_result]]:
        found: dict[Ident, tuple[str, Rule, os.stat_result]] = {}
        for rule in self._rules:
            for path in rule.paths():
                try:
                    known = os.stat(path)  # noqa: PTH116 - paths are text here: thousands every second
                except OSError:
                    continue  # it went between the two
                if known.st_mode & 0o170000 == 0o100000 and rule.takes(path):
                    found.setdefault((known.st_dev, known.st_ino), (path, rule, known))
        return found

    def _meet(self, file: Followed, path: str, known: os.stat_result, now: int) -> None:
        """A known inode has a name."""
        if file.path != path and not file.position.is_done:
            self._figures.rotations += 1
        file.path, file.is_gone = path, False
        position = file.position
        if file.source is not None:
            if not position.packed and known.st_size == file.offset and now - known.st_mtime_ns > IDLE:
                file.opened(None)
        elif position.packed:
            if not position.is_done and self._damaged.get(position.key) != (known.st_size, known.st_mtime_ns):
                self._guarded(path, self._open, file, path)
        elif known.st_size != file.offset:
            self._guarded(path, self._open, file, path)
            if position.is_done and self._is_open(position.key):
                file.position = msgspec.structs.replace(file.position, is_done=False)
                self.changed = True
        elif now - position.touched > FORGET // 7:
            file.position = msgspec.structs.replace(position, touched=now)

    def _miss(self, file: Followed, now: int) -> None:
        """A file has none of the names any more."""
        position = file.position
        if position.is_done:
            if now - position.touched > FORGET:
                self._forget(file)
            return
        if file.source is None:
            self._search(file, now)
        elif not file.is_gone:
            self._figures.rotations += 1
        file.is_gone = True

    def _search(self, file: Followed, now: int) -> None:
        """Looks for a file, or its content from the position on, under other names beside it."""
        position = file.position
        if not position.touched or (position.inode and not file.is_gone):
            file.position = position = msgspec.structs.replace(position, touched=now)
        folder = os.path.dirname(position.path)  # noqa: PTH120 - paths are text here
        try:
            with os.scandir(folder) as entries:
                candidates = [entry for entry in entries if entry.is_file()]
        except OSError:
            candidates = []
        for entry in candidates:
            if position.inode and entry.inode() == position.inode and self._opens(file, entry.path, packed=False):
                return
        name = os.path.basename(position.path)  # noqa: PTH119 - as above
        for entry in sorted(candidates, key=lambda each: (not each.name.startswith(name), each.name)):
            if file.offset and self._is_free(entry) and self._opens(file, entry.path, packed=None):
                return
        if now - position.touched > SEARCH:
            if position.inode:
                self._figures.lost += 1
                event(
                    _log, logging.WARNING, "a file is gone, perhaps before it was read to its end", file=position.path
                )
            self._done(file)

    def _is_free(self, entry: os.DirEntry[str]) -> bool:
        """Whether a file is not followed for itself."""
        known = entry.stat()
        file = self._by_ident.get((known.st_dev, known.st_ino))
        return file is None or file.position.is_done

    def _opens(self, file: Followed, path: str, *, packed: bool | None) -> bool:
        """Whether a path has a file's content; then it is that file from now on."""
        try:
            kind = is_packed(path) if packed is None else packed
            source = (PackedFile if kind else PlainFile)(path, file.position.print)
            known = os.stat(path)  # noqa: PTH116 - as above
        except (Changed, Damaged, OSError):
            return False
        file.opened(source)
        ident = (known.st_dev, known.st_ino)
        other = self._by_ident.get(ident)
        if other is not None and other is not file:
            self._forget(other)
        self._by_ident.pop((file.position.device, file.position.inode), None)
        file.position = msgspec.structs.replace(file.position, device=ident[0], inode=ident[1], packed=kind)
        self._by_ident[ident] = file
        file.path = path
        self.changed = True
        return True

    def _meet_new(self, path: str, rule: Rule, known: os.stat_result, now: int) -> None:
        """An inode that is not known. Raises what the sources raise."""
        packed = is_packed(path)
        beside = self._beside(path)
        if packed or any(_is_rotated_name(path, file.position.path) for file in beside):
            seen = (known.st_size, known.st_mtime_ns)
            if self._young.get(path) != seen:  # it may be in the making
                self._young[path] = seen
                return
            if packed and any(file.source is not None and not file.offset and _backlog(file) for file in beside):
                return  # what it is a form of may not have been read yet
        self._young.pop(path, None)
        position = Position(
            self._next_key(), path, known.st_dev, known.st_ino, source=rule.name, packed=packed, touched=now
        )
        form_of = self._packed_of(path, beside) if packed else _copied(path, known.st_size, beside)
        if form_of is not None:
            self._figures.rotations += 1
            event(_log, logging.INFO, "a file is a form of one that is known", file=path, known=form_of.position.path)
            if form_of.path == path:
                return  # what the known one had not yet said is read from there
        if form_of is not None or (rule.from_end and self._is_first):
            print_ = Print() if packed else _print_of(path, known.st_size)
            position = msgspec.structs.replace(position, print=print_, is_done=packed or form_of is not None)
        file = Followed(position, rule, path=path)
        self._add(file)
        self.changed = True
        if not position.is_done:
            self._open(file, path)

    def _packed_of(self, path: str, beside: Sequence[Followed]) -> Followed | None:
        """The known file of which a gzip file is the packed form.

        If it was taken to be read to its end and was not, it goes on there.
        """
        for file in beside:
            print_ = file.position.print
            if not print_.offset or not (file.is_gone or file.position.is_done):
                continue
            try:
                source = PackedFile(path, print_)
            except Changed:
                continue
            has_more = file.position.is_done and bool(source.peek(1))
            source.close()
            if has_more and self._opens(file, path, packed=True):
                file.position = msgspec.structs.replace(file.position, is_done=False)
                file.is_gone = True
            return file
        return None

    def _beside(self, path: str) -> list[Followed]:
        return list(self._by_folder.get(os.path.dirname(path), {}).values())  # noqa: PTH120 - as above

    def _open(self, file: Followed, path: str) -> None:
        """Opens a file at its position. Raises OSError."""
        try:
            file.opened((PackedFile if file.position.packed else PlainFile)(path, file.position.print))
        except Changed:
            if path == file.position.path and is_packed(path) == file.position.packed:
                self.begin_anew(file)
            else:
                self._part(file)
        except Damaged as error:
            self._tell(path, error)
            self._set_damaged(file, path)

    def _is_open(self, key: int) -> bool:
        return self._files[key].source is not None

    def _part(self, file: Followed) -> None:
        """The inode is another file's now: the one that had it is gone, and the other is met by the next scan."""
        position = file.position
        if self._by_ident.get((position.device, position.inode)) is file:
            del self._by_ident[position.device, position.inode]
        file.opened(None)
        file.path, file.is_gone = position.path, True
        file.position = msgspec.structs.replace(position, device=0, inode=0, touched=time.time_ns())
        self.changed = True

    def _set_damaged(self, file: Followed, path: str) -> None:
        """A packed file is read on when it has changed."""
        file.opened(None)
        known = os.stat(path)  # noqa: PTH116 - as above
        self._damaged[file.position.key] = (known.st_size, known.st_mtime_ns)

    def _forget(self, file: Followed) -> None:
        position = file.position
        self._files.pop(position.key, None)
        self._by_folder.get(os.path.dirname(position.path), {}).pop(position.key, None)  # noqa: PTH120 - as above
        if self._by_ident.get((position.device, position.inode)) is file:
            del self._by_ident[position.device, position.inode]
        self.changed = True

    def _add(self, file: Followed) -> None:
        position = file.position
        self._key = max(self._key, position.key)
        self._files[position.key] = file
        self._by_folder.setdefault(os.path.dirname(position.path), {})[position.key] = file  # noqa: PTH120 - as above
        if position.inode:
            self._by_ident[position.device, position.inode] = file

    def _next_key(self) -> int:
        self._key += 1
        return self._key

    def _done(self, file: Followed) -> None:
        file.position = msgspec.structs.replace(file.position, is_done=True, touched=time.time_ns())
        self.changed = True

    def _guarded(self, path: str, work: Callable[P, None], *args: P.args, **more: P.kwargs) -> None:
        try:
            work(*args, **more)
        except (Damaged, OSError) as error:
            self._tell(path, error)

    def _tell(self, path: str, error: Exception) -> None:
        """Says once what is wrong with a file."""
        said = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        if self._troubles.get(path) != said:
            self._troubles[path] = said
            self._figures.errors += 1
            event(_log, logging.WARNING, "a file cannot be read", file=path, error=said)


def _is_rotated_name(path: str, of: str) -> bool:
    """Whether a file is called as copies of another are: `app.log.1` of `app.log`."""
    return len(path) > len(of) and path.startswith(of)


def _copied(path: str, size: int, beside: Sequence[Followed]) -> Followed | None:
    """The known file of which a plain one is a copy, made before the known one is cut (copytruncate)."""
    for file in beside:
        source = file.source
        if not file.offset or file.is_gone or not isinstance(source, PlainFile) or size > source.size:
            continue
        if not _is_rotated_name(path, file.position.path):
            continue
        with open(path, "rb") as copy:  # noqa: PTH123 - as above
            head = copy.read(HEAD)
            copy.seek(max(0, size - TAIL))
            tail = copy.read(TAIL)
        if head and source.has(0, head) and source.has(size - len(tail), tail):
            return file
    return None


def _print_of(path: str, size: int) -> Print:
    """The print of a plain file at its end."""
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        head = file.read(min(HEAD, size))
        file.seek(max(0, size - TAIL))
        tail = file.read(min(TAIL, size))
    return Print(size, len(head), digest(head), len(tail), digest(tail))


def _backlog(file: Followed) -> int:
    if file.source is None:
        return 0
    size = file.source.size
    if size is None:
        try:
            return os.stat(file.path).st_size  # noqa: PTH116 - as above
        except OSError:
            return 0
    return max(0, size - file.offset)
