"""Row: one entry on its way through the scalar stages, with Loki's rules of which label wins."""

from __future__ import annotations

from storage.batch import Labels

ERROR = "__error__"
ERROR_DETAILS = "__error_details__"
PRESERVE_ERROR = "__preserve_error__"


class Row:
    """An entry, its labels by where they come from, and its error.

    Reading a label: parsed > structured metadata > stream (LOKI: a parsed label deletes those of its name). Structured
    metadata whose name a stream label has is called `<name>_extracted` before any stage runs. A parser that meets a
    name which a stream label had *at the beginning* (dropped since or not), or metadata has now, uses
    `<name>_extracted`.

    Attributes:
        ts: ns.
        line: the line as it is now.
        stream: stream labels that are left.
        metadata: structured metadata that is left.
        parsed: labels set by parsers and label_format, in order of setting.
        error, details: `__error__` and `__error_details__`, "" when there are none.
        preserve_error: `__preserve_error__` is set.
    """

    __slots__ = ("_base", "_ever", "details", "error", "line", "metadata", "parsed", "preserve_error", "stream", "ts")

    def __init__(self, ts: int, line: bytes, stream: Labels, metadata: Labels) -> None:
        self.ts = ts
        self.line = line
        self.stream = dict(stream)
        self.metadata = {(f"{name}_extracted" if name in self.stream else name): value for name, value in metadata}
        self.parsed: dict[str, str] = {}
        self.error = self.metadata.pop(ERROR, "")
        self.details = self.metadata.pop(ERROR_DETAILS, "")
        self.preserve_error = False
        self._base = frozenset(self.stream)
        self._ever: set[str] = set()

    def in_base(self, name: str) -> bool:
        """Whether a stream label had the name at the beginning, or metadata has it now."""
        return name in self._base or name in self.metadata

    def was_set(self, name: str) -> bool:
        """Whether `set` was called for the name, dropped since or not: parsers do not extract a name twice."""
        return name in self._ever

    def get(self, name: str) -> str | None:
        """A label's value; None if there is none.

        `__error__` and `__error_details__` are here those that a parser found in a line; `error` and `details` are not.
        """
        for source in (self.parsed, self.metadata, self.stream):
            if name in source:
                return source[name]
        return None

    def set(self, name: str, value: str) -> None:
        """Sets a parsed label, which hides any other of its name."""
        self.parsed[name] = value
        self._ever.add(name)
        self.stream.pop(name, None)
        self.metadata.pop(name, None)

    def delete(self, name: str) -> None:
        """Removes a label wherever it comes from; `__error__` and `__error_details__` are reset."""
        if name == ERROR:
            self.error = ""
        elif name == ERROR_DETAILS:
            self.details = ""
        else:
            for source in (self.parsed, self.metadata, self.stream):
                source.pop(name, None)

    def fail(self, error: str, details: str = "") -> None:
        """Sets `__error__` and `__error_details__`."""
        self.error = error
        self.details = details

    def labels(self) -> dict[str, str]:
        """Every label by name, errors included."""
        found = {**self.stream, **self.metadata, **self.parsed}
        if self.error:
            found[ERROR] = self.error
        if self.details:
            found[ERROR_DETAILS] = self.details
        if self.preserve_error:
            found[PRESERVE_ERROR] = "true"
        return found
