from __future__ import annotations

import pytest

from gateway.client.lines import format_labels, quote


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("web", '"web"'),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("a\\b", r'"a\\b"'),
        ("tab\tnewline\nreturn\r", r'"tab\tnewline\nreturn\r"'),
        ("\x1b[31m\x7f", r'"\x1b[31m\x7f"'),
        ("\x9b31m", r'"\u009b31m"'),
        ("\u202egpj", r'"\u202egpj"'),
        ("\u00a0", r'"\u00a0"'),
        ("größe 日本 😀", '"größe 日本 😀"'),
        ("\U000e0001", r'"\U000e0001"'),
    ],
)
def test_quoting_is_go_s(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_labels_are_written_as_a_selector() -> None:
    assert format_labels([]) == "{}"
    assert format_labels([("app", "web"), ("level", "info")]) == '{app="web", level="info"}'
