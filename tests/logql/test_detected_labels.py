"""Which labels are shown to somebody who looks around."""

from __future__ import annotations

import pytest

from logql.detected_labels import is_shown

UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


@pytest.mark.parametrize(
    ("name", "values", "shown"),
    [
        ("app", ["web"], True),
        ("app", [], False),
        ("id", ["1", "2"], False),
        ("id", ["1", "web"], True),
        ("id", ["1.5e3", "-2", "inf"], False),
        ("flag", ["0", "1"], True),
        ("flag", ["1"], True),
        ("flag", ["0", "1", "2"], False),
        ("pod", ["1", "2"], True),
        ("cluster", ["17"], True),
        ("namespace", [UUID], True),
        ("instance", ["10"], True),
        ("trace", [UUID], False),
        ("trace", [UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}", f"URN:UUID:{UUID}"], False),
        ("trace", [UUID, "7"], False),
        ("trace", [UUID + "0"], True),
        ("trace", [UUID, "none"], True),
        ("empty", [""], True),
    ],
)
def test_labels_that_only_number_their_streams_are_left_out(name: str, values: list[str], shown: bool) -> None:
    assert is_shown(name, values) is shown
