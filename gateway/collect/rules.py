"""Which files are followed, and how each is read: the settings as values."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from fnmatch import fnmatch
from functools import cache
from socket import gethostname

from config.collector import Collector as Settings
from config.collector import CollectorSource
from gateway.client.errors import BadArgument
from gateway.client.lines import format_labels
from gateway.collect.multiline import Multiline, multiline

JOB = "collect"
"""The label `job` where nothing else is said."""

_OTHER_PACKINGS = (".zst", ".bz2", ".xz", ".lz4", ".zip", ".Z", ".7z")


@dataclass(frozen=True, slots=True)
class Rule:
    """Files that are read alike.

    Attributes:
        name: the first of its patterns.
        patterns: globs, `**` for any folders; a folder stands for all that is below it.
        exclude: globs of paths, or of names, that are not read.
        labels: (name, value) of every line, sorted; `filename` is not among them.
        file_label: the label that the path gets; "" is none.
        form: text, docker, cri; "" is found out.
        multiline: which lines are one record; None: each is one.
        line_times: whether times are looked for in lines of text.
        from_end: whether what files had when they were first seen is passed over.
    """

    name: str
    patterns: tuple[str, ...]
    exclude: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    file_label: str
    form: str
    multiline: Multiline | None
    line_times: bool
    from_end: bool

    def stream(self, path: str, stream: str) -> str:
        """The text of the label set of a file's lines; `stream` is stdout, stderr or ""."""
        labels = dict(self.labels)
        if self.file_label:
            labels[self.file_label] = path
        if stream:
            labels["stream"] = stream
        return format_labels(sorted(labels.items()))

    def paths(self) -> Iterator[str]:
        """The files there are now, those of folders among them; some may be gone already, or be no files."""
        for pattern in self.patterns:
            for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 - thousands every second, as text
                if os.path.isdir(path):  # noqa: PTH112 - as above
                    yield from _below(path)
                else:
                    yield path

    def takes(self, path: str) -> bool:
        """Whether a path is not among those that are left out."""
        name = path.rpartition("/")[2]
        return not path.endswith(_OTHER_PACKINGS) and not any(
            fnmatch(path, each) or fnmatch(name, each) for each in self.exclude
        )


def rules_of(settings: Settings) -> list[Rule]:
    """The rules that settings make; of several for one file the first holds.

    Raises:
        BadArgument: a pattern of first lines is none.
    """
    common = CollectorSource(paths=settings.paths) if settings.paths else None
    return [_rule(settings, each) for each in (*settings.sources, *([common] if common else ()))]


def _rule(settings: Settings, source: CollectorSource) -> Rule:
    labels = {"job": JOB, "host": gethostname(), **settings.labels, **source.labels}
    said = source.multiline or settings.multiline
    if not source.paths:
        raise BadArgument("collector.sources: one of them has no paths")
    form = source.format if "format" in source.model_fields_set else settings.format
    times = source.time if "time" in source.model_fields_set else settings.time
    start = source.start if "start" in source.model_fields_set else settings.start
    return Rule(
        name=source.paths[0],
        patterns=tuple(os.path.abspath(os.path.expanduser(path)) for path in source.paths),  # noqa: PTH100, PTH111 - globs
        exclude=(*settings.exclude, *source.exclude),
        labels=tuple(sorted((name, value) for name, value in labels.items() if value)),
        file_label=settings.filename_label,
        form="" if form == "auto" else form,
        multiline=_multiline(said, settings.multiline_lines, settings.max_record) if said else None,
        line_times=times == "line",
        from_end=start == "end",
    )


@cache
def _multiline(said: str, lines: int, size: int) -> Multiline:
    return multiline(said, lines, size)


def _below(folder: str) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            yield os.path.join(parent, name)  # noqa: PTH118 - paths are text here


def rule_of(rules: Sequence[Rule], name: str) -> Rule:
    """The rule of a name; one that is in the settings no longer: the first."""
    return next((rule for rule in rules if rule.name == name), rules[0])


ZONE = UTC
"""Of times in lines that do not say theirs."""
