"""Fixtures: worlds, and their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from config import Settings
from tests.gateway.world import World


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**groups: Any) -> World:
        made.append(World(Settings.model_validate(groups)))
        return made[-1]

    yield make
    for world in made:
        world.gateway.queries.close()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
