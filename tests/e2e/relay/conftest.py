"""What tests of relays share: the process that their servers are forks of."""

from __future__ import annotations

import pytest

from tests.forks import Forks, shared


@pytest.fixture(scope="session")
def forks() -> Forks:
    return shared()
