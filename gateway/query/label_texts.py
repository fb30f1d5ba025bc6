"""The texts of many label sets: most pairs of a name and a value are in many of them, and are written once."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.query.gojson import label_text
from storage.batch import Labels
from storage.labels import quote


class LabelTexts:
    """Label sets as JSON, and as the text that Loki sorts by. For one answer: what was written is kept."""

    __slots__ = ("_json", "_text")

    def __init__(self) -> None:
        self._json: dict[tuple[str, str], str] = {}
        self._text: dict[tuple[str, str], str] = {}

    def json(self, labels: Labels) -> str:
        """As `gojson.labels_json`."""
        made = self._json
        parts = []
        for pair in labels:
            part = made.get(pair)
            if part is None:
                part = made[pair] = f"{label_text(pair[0])}:{label_text(pair[1])}"
            parts.append(part)
        return f"{{{','.join(parts)}}}"

    def text(self, labels: Labels) -> str:
        """As `storage.labels.labels_text`."""
        made = self._text
        parts = []
        for pair in labels:
            part = made.get(pair)
            if part is None:
                part = made[pair] = f"{pair[0]}={quote(pair[1])}"
            parts.append(part)
        return "{" + ", ".join(parts) + "}"

    def categories(self, metadata: Labels, parsed: Labels) -> str:
        """The third element of an entry whose labels are categorized."""
        if not parsed:
            return f'{{"structuredMetadata":{self.json(metadata)}}}' if metadata else "{}"
        if not metadata:
            return f'{{"parsed":{self.json(parsed)}}}'
        return f'{{"structuredMetadata":{self.json(metadata)},"parsed":{self.json(parsed)}}}'

    def in_order(self, labels: Iterable[Labels]) -> list[Labels]:
        """The distinct label sets in Loki's order: that of their texts."""
        return sorted(dict.fromkeys(labels), key=self.text)
