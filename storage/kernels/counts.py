"""Values counted into the buckets of a histogram."""

from __future__ import annotations

from typing import Any

from storage.kernels.cache import OFFSETS, kernel


@kernel(f"int64({OFFSETS}, Array(float64, 1, 'C', True), int64[::1])")
def count_values(values: Any, bounds: Any, counts: Any) -> Any:
    """Counts values into buckets; what they add up to.

    Args:
        values: int64[n].
        bounds: float64[k], ascending; a value equal to one is within it.
        counts: int64[k + 1], gets how many values are in each bucket, the last for those past all bounds.
    """
    counts[:] = 0
    total = 0
    for row in range(len(values)):
        value = values[row]
        bucket = 0
        while bucket < len(bounds) and bounds[bucket] < value:
            bucket += 1
        counts[bucket] += 1
        total += value
    return total
