"""The objective against its closed form and the contract."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import torch

from langxfer import LogProbs, View
from langxfer.plugins import load
from langxfer.testing import check_objective

MODULE = Path(__file__).parents[1] / "langxfer_simpo.py"


def simpo(**options: float):
    return load([MODULE] if "langxfer_simpo" not in sys.modules else []).classes("objective")["simpo"](**options)


def test_value_by_hand():
    total = {View.SS: [-2.0], View.ST: [-9.0], View.TS: [-8.0], View.TT: [-6.0]}
    tokens = {View.SS: [2.0], View.ST: [3.0], View.TS: [4.0], View.TT: [3.0]}
    policy = LogProbs(*({view: torch.tensor(own) for view, own in part.items()} for part in (total, tokens)))
    term = simpo(beta=2.0, gamma=0.5).loss(policy, None).parts["preference"]

    def by_hand(chosen: float, rejected: float) -> float:
        return math.log1p(math.exp(-(2.0 * (chosen - rejected) - 0.5)))

    expected = by_hand(-1.0, -3.0) + by_hand(-2.0, -2.0)
    assert abs(term.numerator.item() - expected) < 1e-6 and term.denominator.item() == 2.0


def test_contract():
    check_objective(simpo())
    check_objective(simpo(beta=10.0, gamma=0.0))
