"""Rows, units and micro-batches: by hand, and for any lengths and budgets."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from langxfer.data import View
from langxfer.engine.attention import pieces_of
from langxfer.engine.layout import Branch, Layout, Row, collate, micro_batches, padded_tokens, rows_of, units_of
from tests.engine.made_up import made_up

VIEWS = sorted(View)
ROWS = [
    Row([7, 8], (Branch(0, View.SS, [10, 11, 12]), Branch(0, View.ST, [20, 21]))),
    Row([9], (Branch(1, View.TS, [30, 31]), Branch(1, View.TT, []))),
]


def test_packed_rows_by_hand() -> None:
    inputs = collate(ROWS, "tree")
    assert inputs.ids.tolist() == [[7, 8, 10, 11, 20, 9, 30]]  # last tokens predict nothing: they are not fed
    assert inputs.positions is not None and inputs.rows is not None
    assert inputs.positions.tolist() == [[0, 1, 2, 3, 2, 0, 1]]
    assert inputs.rows.bounds == ((0, 2, 4, 5), (5, 6, 7, 7))
    assert inputs.scored_from.tolist() == [1, 2, 3, 1, 4, 5, 6]
    assert inputs.targets.tolist() == [10, 11, 12, 20, 21, 30, 31]
    assert inputs.rows.mask[0, 0, :5, :5].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    assert inputs.rows.mask[0, 0, 5:, 5:].int().tolist() == [[1, 0], [1, 1]]
    assert not inputs.rows.mask[0, 0, :5, 5:].any()
    assert not inputs.rows.mask[0, 0, 5:, :5].any()
    filled = collate(ROWS, "tree", multiple=8)
    assert filled.ids.shape == (1, 8)
    assert filled.rows is not None
    assert filled.rows.mask.any(-1).all()  # attention to nothing would be NaN
    assert filled.scored_from.equal(inputs.scored_from)


def test_padded_rows_by_hand() -> None:
    rows = [Row([7, 8], (Branch(0, View.SS, [10, 11, 12]),)), Row([9], (Branch(1, View.TT, [30]),))]
    inputs = collate(rows, "padded")
    assert inputs.ids.tolist() == [[7, 8, 10, 11], [9, 0, 0, 0]]
    assert inputs.positions is None and inputs.rows is None
    assert inputs.scored_from.tolist() == [1, 2, 3, 4]
    assert inputs.targets.tolist() == [10, 11, 12, 30]


def test_tree_rows_share_prompts() -> None:
    (example,) = made_up([(3, 5, 4, 6)])
    tree, flat = rows_of(0, example, VIEWS, "tree"), rows_of(0, example, VIEWS, "flat")
    assert [[branch.view for branch in row.branches] for row in tree] == [[View.SS, View.ST], [View.TS, View.TT]]
    assert [len(row) for row in tree] == [3 + 3 + 5, 5 + 3 + 5]
    assert [len(row) for row in flat] == [3 + 3, 3 + 5, 5 + 3, 5 + 5]
    assert padded_tokens(tree) == 2 * 13
    assert flat == rows_of(0, example, VIEWS, "padded")
    assert rows_of(0, example, [View.TT], "tree") == rows_of(0, example, [View.TT], "flat")


SIZES = st.lists(st.tuples(*[st.integers(1, 30)] * 4), max_size=12)


@settings(deadline=None)
@given(SIZES, st.sampled_from(["tree", "flat", "padded"]), st.booleans(), st.integers(1, 400))
def test_micro_batches(sizes: list[tuple[int, int, int, int]], layout: Layout, separate: bool, budget: int) -> None:
    """Every unit once, within the budget or alone, and packed groups cannot be merged."""
    units = units_of(made_up(sizes), VIEWS, layout, separate)
    assert len(units) == len(sizes) * (2 if separate else 1)
    groups = list(micro_batches(units, layout, budget))
    places = sorted((unit.example, unit.views) for unit in chain(*groups))
    assert places == sorted((unit.example, unit.views) for unit in units)
    longest = max((unit.tokens for unit in units), default=0)
    for group in groups:
        rows = [row for unit in group for row in unit.rows]
        tokens = padded_tokens(rows) if layout == "padded" else sum(map(len, rows))
        assert tokens <= (budget if layout == "padded" else max(budget, longest)) or len(group) == 1
    if layout != "padded" and len(groups) > 1:
        counts = sorted(sum(unit.tokens for unit in group) for group in groups)
        assert counts[0] + counts[1] > max(budget, longest)


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.integers(0, 40), max_size=4), st.integers(1, 50), st.integers(0, 9))
def test_pieces_cover_what_may_be_seen(prompt: int, branches: list[int], chunk: int, start: int) -> None:
    """Each query is in one piece, and sees each key that the mask allows once, and no other."""
    row = Row([1] * prompt, tuple(Branch(0, View.SS, [1] * (count + 1)) for count in branches))
    rows = collate([Row([1] * start, ()), row] if start else [row], "tree").rows
    assert rows is not None
    seen = torch.zeros(rows.length, rows.length, dtype=torch.long)
    for bounds in rows.bounds:
        for own, others in pieces_of(bounds, chunk):
            for other in others:
                part = seen[own, other]
                part += torch.ones_like(part).tril() if other == own else torch.ones_like(part)
    assert seen.equal(rows.mask[0, 0].long())


@pytest.mark.parametrize("layout", ["tree", "flat", "padded"])
def test_nothing_gives_no_micro_batches(layout: Layout) -> None:
    assert list(micro_batches([], layout, 100)) == []
