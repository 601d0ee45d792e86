"""Wilson's interval against its definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.statistics import wilson


@given(st.integers(1, 20000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_borders_are_where_the_share_is_just_not_rejected(pair: tuple[int, int]) -> None:
    count, n = pair
    low, high = wilson(count, n)
    assert 0 <= low <= count / n <= high <= 1
    for border in (low, high):
        if 0 < border < 1:
            deviation = abs(count / n - border) / (border * (1 - border) / n) ** 0.5
            assert deviation == pytest.approx(1.959964, rel=1e-4)


def test_a_published_value() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857-872), Table I, method 3: 81 of 263, and 0 of 20."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(0, 20, 0.999)[1] > wilson(0, 20)[1]
