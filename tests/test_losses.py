"""The losses by themselves: closed forms, float64 slopes, half precision, and the ends of the number line."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from langxfer import losses

MARGINS = torch.tensor([-30.0, -2.0, -0.3, 0.0, 0.4, 3.0, 25.0], dtype=torch.float64)
OF_A_MARGIN: dict[str, Callable[[Tensor], Tensor]] = {
    "dpo": lambda margin: losses.dpo(margin, 0.3),
    "dpo, smoothed": lambda margin: losses.dpo(margin, 0.3, 0.2),
    "ipo": lambda margin: losses.ipo(margin, 0.3),
    "hinge": lambda margin: losses.hinge(margin, 0.3),
    "kto, desirable": lambda ratio: losses.kto(ratio, 0.7, 0.3, desirable=True),
    "kto, undesirable": lambda ratio: losses.kto(ratio, 0.7, 0.3, desirable=False),
}


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_by_hand() -> None:
    margin = torch.tensor([2.0, -3.0], dtype=torch.float64)
    assert losses.dpo(margin, 0.5).tolist() == pytest.approx([-math.log(sigmoid(1.0)), -math.log(sigmoid(-1.5))])
    smoothed = [-0.9 * math.log(sigmoid(z)) - 0.1 * math.log(sigmoid(-z)) for z in (1.0, -1.5)]
    assert losses.dpo(margin, 0.5, 0.1).tolist() == pytest.approx(smoothed)
    assert losses.ipo(margin, 0.5).tolist() == pytest.approx([1.0, 16.0])  # (2 - 1)^2, (-3 - 1)^2
    assert losses.hinge(margin, 0.25).tolist() == pytest.approx([0.5, 1.75])
    assert losses.hinge(margin, 1.0).tolist() == pytest.approx([0.0, 4.0])
    assert losses.kto(margin, 1.0, 0.5, desirable=True).tolist() == pytest.approx([1 - sigmoid(0.5), 1 - sigmoid(-2.0)])
    assert losses.kto(margin, 1.0, 0.5, desirable=False).tolist() == pytest.approx([sigmoid(0.5), sigmoid(-2.0)])
    assert losses.cpo(margin, margin - 2.0, 0.5).tolist() == pytest.approx([-math.log(sigmoid(1.0))] * 2)


def test_odds_ratio_by_hand() -> None:
    """Probabilities 3/4 and 1/3 a token: odds 3 and 1/2, ratio 6; -log(6 / 7)."""
    chosen, rejected = torch.tensor([0.75, 1 / 3], dtype=torch.float64).log().split(1)
    assert losses.log_odds_ratio(chosen, rejected).tolist() == pytest.approx([math.log(6)])
    assert losses.odds_ratio(chosen, rejected).tolist() == pytest.approx([math.log(7 / 6)])


def test_at_margin_zero() -> None:
    zero = torch.zeros(1)
    assert losses.dpo(zero, 0.1).item() == losses.dpo(zero, 0.1, 0.3).item() == pytest.approx(math.log(2))
    assert losses.ipo(zero, 0.1).item() == pytest.approx(25.0)
    assert losses.hinge(zero, 0.1).item() == 1.0
    assert (
        losses.kto(zero, 0.0, 0.1, desirable=True).item() == losses.kto(zero, 0.0, 0.1, desirable=False).item() == 0.5
    )
    assert losses.clo(zero, zero, lambda margin: losses.dpo(margin, 0.1)).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("loss", OF_A_MARGIN.values(), ids=OF_A_MARGIN)
def test_gradients_of_a_margin(loss: Callable[[Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(loss, (MARGINS.clone().requires_grad_(),))


def test_gradients_of_log_probabilities() -> None:
    # On both sides of -ln 2, where log1mexp changes its formula.
    points = torch.tensor([-9.0, -2.0, -0.7, -0.69, -0.3, -1e-2], dtype=torch.float64)
    assert torch.autograd.gradcheck(losses.log1mexp, (points.clone().requires_grad_(),))
    pair = (points.clone().requires_grad_(), points.flip(0).clone().requires_grad_())
    assert torch.autograd.gradcheck(losses.odds_ratio, pair)
    assert torch.autograd.gradcheck(lambda *both: losses.cpo(*both, 0.3), pair)


@pytest.mark.parametrize("name", ["dpo, smoothed", "dpo"])
def test_label_smoothing_pulls_the_best_margin_to_its_share(name: str) -> None:
    """The minimum of the smoothed loss is where sigmoid(beta * margin) = 1 - e; without smoothing there is none."""
    best = torch.tensor([math.log(0.8 / 0.2) / 0.3], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(OF_A_MARGIN[name](best).sum(), best)
    assert (abs(slope.item()) < 1e-12) == (name == "dpo, smoothed")


def exact_log1mexp(x: float) -> float:
    with localcontext() as context:
        context.prec = 200
        return float((1 - Decimal(x).exp()).ln())


@given(st.floats(-300.0, -1e-12))
def test_log1mexp_to_full_precision(x: float) -> None:
    found = losses.log1mexp(torch.tensor([x], dtype=torch.float64)).item()
    assert found == pytest.approx(exact_log1mexp(x), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_odds_at_probability_1(dtype: torch.dtype) -> None:
    """Value and slope stay finite where p rounds to 1, on either side of the ratio and on both."""
    for chosen, rejected in ((0.0, -2.0), (-2.0, 0.0), (0.0, 0.0), (-1e-7, -1e-7), (-1e-3, -1e4), (-1e4, -1e-3)):
        pair = [torch.tensor([x], dtype=dtype, requires_grad=True) for x in (chosen, rejected)]
        loss = losses.odds_ratio(*pair)
        loss.sum().backward()
        assert loss.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
        assert loss.isfinite().all()
        assert all(x.grad is not None and x.grad.isfinite().all() for x in pair), (chosen, rejected)
    sure, unsure = torch.zeros(1, dtype=dtype), torch.full((1,), -2.0, dtype=dtype)
    assert losses.odds_ratio(sure, unsure) < 1e-6 < 10 < losses.odds_ratio(unsure, sure)


def test_odds_fall_as_the_rejected_answer_becomes_certain() -> None:
    """The loss is monotone through the change of formula at -ln 2 and up to the last number below 0."""
    rejected = -torch.logspace(3, -7, 400)
    assert losses.odds_ratio(torch.full_like(rejected, -1.0), rejected).diff().min() >= 0


HALF = {
    "dpo": lambda a, b: losses.dpo(losses.log_ratio(a, b), 0.1),
    "ipo": lambda a, b: losses.ipo(losses.log_ratio(a, b), 0.1),
    "hinge": lambda a, b: losses.hinge(losses.log_ratio(a, b), 0.1),
    "kto": lambda a, b: losses.kto(losses.log_ratio(a, b), 0.0, 0.1, desirable=True),
    "cpo": lambda a, b: losses.cpo(a, b, 0.1),
    "odds ratio": losses.odds_ratio,
    "nll": lambda a, b: losses.nll(a) + losses.nll(b),
}


@pytest.mark.parametrize("loss", HALF.values(), ids=HALF)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(loss: Callable[..., Tensor], dtype: torch.dtype) -> None:
    """The difference of -301 and -299 in bfloat16 (spacing 2) is no place for a margin: only the inputs are rounded."""
    inputs = [
        torch.tensor([-301.0, -3.2, -0.01, 0.0], dtype=dtype),
        torch.tensor([-296.0, -1.1, -0.5, -4.0], dtype=dtype),
    ]
    found, expected = loss(*inputs), loss(*(x.double() for x in inputs))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
