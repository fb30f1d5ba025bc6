"""Settings of every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How fast an input is made or a test runs says something about the machine, and nothing about Weir.
settings.register_profile("weir", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("weir")
