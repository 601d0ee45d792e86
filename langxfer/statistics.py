"""Intervals of shares."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share ``count / n``, as shares (Wilson 1927, JASA 22:209-212).

    Unlike ``p +- z * se`` it lies in [0, 1] and has a width at 0 and at 1. ``n`` is at least 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, extra = count / n, z * z / n
    middle = (share + extra / 2) / (1 + extra)
    half = z * math.sqrt(share * (1 - share) / n + extra / (4 * n)) / (1 + extra)
    # At the ends the border is exact, and rounding must not lose that.
    return (0.0 if count == 0 else middle - half), (1.0 if count == n else middle + half)
