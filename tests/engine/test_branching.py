"""Contexts that share what they begin with: how they are laid out, and that nothing but time is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from langxfer.engine.branching import SHARED, Sheet, sheets
from langxfer.engine.continuations import Asked, totals
from langxfer.engine.forward import Scorer
from tests.engine.made_up import VOCABULARY
from tests.engine.one_by_one import load, own_logits, silent

IDS = st.integers(5, VOCABULARY - 1)
OPTIONS = st.lists(st.lists(IDS, min_size=1, max_size=4).map(tuple), min_size=1, max_size=4).map(tuple)
STEMS = [tuple(range(20, 20 + SHARED + 9)), tuple(range(20, 20 + SHARED + 4)), tuple(range(40, 42)), ()]
ASKED = st.tuples(st.sampled_from(STEMS), st.lists(IDS, min_size=1, max_size=40).map(tuple), OPTIONS).map(
    lambda drawn: Asked("x", drawn[0] + drawn[1], drawn[2])
)


@pytest.fixture(scope="module")
def shared(folder: Path) -> tuple[nn.Module, Scorer]:
    return load(folder), Scorer(load(folder), "tree")


@settings(max_examples=15, deadline=None)
@given(asked=st.lists(ASKED, min_size=1, max_size=7), budget=st.sampled_from([1, 60, 200, 1000]))
def test_any_contexts_share_what_they_share(shared: tuple[nn.Module, Scorer], asked: list[Asked], budget: int) -> None:
    plain, scorer = shared
    for one, found in zip(asked, totals(scorer, asked, budget, silent), strict=True):
        right = [own_logits(plain, one.context, option) for option in one.options]
        assert list(found) == pytest.approx(right, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(asked=st.lists(ASKED, min_size=1, max_size=7), budget=st.sampled_from([1, 60, 200, 1000]))
def test_pieces_mask_and_budget_of_what_is_laid_out(asked: list[Asked], budget: int) -> None:
    contexts = {one.context: dict.fromkeys(one.options) for one in asked}
    groups = sheets([(context, list(options)) for context, options in contexts.items()], "tree", budget)
    scored = []
    for trees in groups:
        sheet = Sheet.of(trees, True, torch.device("cpu"), 8)
        assert sheet.rows is not None and sheet.ids.shape[1] % 8 == 0
        assert sum(leaf.tokens for tree in trees for leaf in tree) <= max(
            budget, *(2 * len(context) + 3 for context in contexts)
        )
        seen = torch.zeros_like(sheet.rows.mask[0, 0])
        for own, others in sheet.rows.pieces:
            for other in others:
                seen[own, other] = True if other != own else seen[own, other].fill_(True).tril()
        seen |= torch.eye(len(seen), dtype=torch.bool)
        assert torch.equal(seen, sheet.rows.mask[0, 0])
        scored += sheet.scored
    assert len(scored) == len(set(scored)) == sum(map(len, contexts.values()))


def test_flex_attention_sees_the_same() -> None:
    """Its mask is a function of numbers of tokens, which is asked for all pairs; compiling it is tested for rows."""
    from torch.nn.attention.flex_attention import create_mask

    contexts = [((*STEMS[0], 50 + n), [(60, 61, n), (60, 62)]) for n in range(4)]
    ((tree,),) = sheets(contexts, "tree", 1000)
    rows = Sheet.of([tree], True, torch.device("cpu"), 128).rows
    assert rows is not None and rows.length == 128 and len(rows.sequences) == 8
    assert torch.equal(create_mask(rows.blocks.mask_mod, 1, 1, 128, 128, device="cpu"), rows.mask)
