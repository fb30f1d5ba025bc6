"""Patterns of lines: kept as lines come, answered to who asks."""
