"""The objectives against TRL 1.16's own loss methods, fed with the same log-probabilities: values and gradients."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from langxfer.builtin.objectives import Clo, Cpo, Dpo, Kto, Orpo
from langxfer.components import Objective
from langxfer.data import View
from langxfer.logps import LogProbs
from tests.objective_values import (
    ORDER,
    PAIRS,
    counts_of,
    log_probs,
    loss_and_gradient,
    random_log_probs,
    stacked,
    terms_of,
)

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("trl") is None or importlib.metadata.version("trl").split(".")[:2] != ["1", "16"],
        reason="the oracle is TRL 1.16",
    ),
    pytest.mark.filterwarnings("ignore"),
]


def side(values: LogProbs, place: int) -> Tensor:
    """Chosen (0) or rejected (1) totals of all pairs, ``[2B]``."""
    return torch.cat([values.total[pair[place]] for pair in PAIRS])


def tokens(values: LogProbs, place: int) -> list[int]:
    return [int(n) for pair in PAIRS for n in values.tokens[pair[place]].tolist()]


def same(values: Tensor) -> Tensor:
    """What one process gathers from all."""
    return values


ACCELERATOR = SimpleNamespace(device="cpu", gather=same, gather_for_metrics=same)


def spread(totals: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Per-token log-probabilities that sum to ``totals``, and masks of prompt (one token) and response."""
    width = max(lengths)
    mask = torch.tensor([[0] + [1] * length + [0] * (width - length) for length in lengths])
    return totals[:, None] / torch.tensor(lengths)[:, None] * mask[:, 1:], mask


def outputs_of(log_probs: Tensor) -> Any:
    flat = torch.zeros_like(log_probs).detach()
    return SimpleNamespace(log_probs=log_probs, entropy=flat, mean_logits=flat, is_top1=flat.bool())


def trl_dpo(policy: LogProbs, reference: LogProbs, loss_type: str, beta: float) -> tuple[Tensor, Any]:
    """``DPOTrainer._compute_loss`` with a model that answers with our log-probabilities; its metrics."""
    from trl.trainer.dpo_trainer import DPOTrainer

    totals = torch.cat([side(policy, 0), side(policy, 1)])
    per_token, mask = spread(totals, tokens(policy, 0) + tokens(policy, 1))
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=ACCELERATOR, aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=[loss_type], loss_weights=[1.0],
        beta=beta, use_weighting=False, _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.ones_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": side(reference, 0),
        "ref_rejected_logps": side(reference, 1),
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs_of(per_token), inputs, False)
    return loss, trainer._metrics["train"]


def trl_kto(policy: LogProbs, reference: LogProbs, mismatched: tuple[Tensor, Tensor], **options: float) -> Tensor:
    """``KTOTrainer._compute_loss``: SS and TT labelled desirable; ``mismatched`` policy and reference totals."""
    from trl.trainer.kto_trainer import KTOTrainer

    chosen, rejected = side(policy, 0), side(policy, 1)
    lengths = tokens(policy, 0) + tokens(policy, 1)
    per_token, mask = spread(torch.cat([chosen, rejected]), lengths)
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=ACCELERATOR, aux_loss_enabled=False, calculate_KL=True,
        precompute_ref_logps=True, loss_type="kto", _metrics={"train": defaultdict(list)}, _total_train_tokens=0,
        _tp_size=1, _compute_kl_logps=lambda *_: mismatched[0], **options,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.ones_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "label": torch.tensor([True] * len(chosen) + [False] * len(rejected)),
        "ref_logps": torch.cat([side(reference, 0), side(reference, 1)]),
        "ref_KL_logps": mismatched[1],
    }
    return KTOTrainer._compute_loss(trainer, lambda **_: outputs_of(per_token), inputs, False)


def trl_orpo(policy: LogProbs, weight: float) -> Tensor:
    """``ORPOTrainer.odds_ratio_loss`` on length-averaged log-probabilities: the term that is added to the NLL."""
    from trl.experimental.orpo import ORPOTrainer

    trainer = SimpleNamespace(beta=weight, accelerator=ACCELERATOR)
    means = [torch.cat([policy.mean(pair[place]) for pair in PAIRS]) for place in (0, 1)]
    return -ORPOTrainer.odds_ratio_loss(trainer, *means)[0].mean()


def trl_cpo(policy: LogProbs, beta: float, alpha: float, label_smoothing: float = 0.0) -> Tensor:
    """``CPOTrainer.cpo_loss`` plus ``alpha`` times the cross-entropy of the chosen tokens."""
    from trl.experimental.cpo import CPOTrainer

    trainer = SimpleNamespace(
        alpha=0.0, beta=beta, loss_type="sigmoid", label_smoothing=label_smoothing, accelerator=ACCELERATOR
    )
    losses, *_ = CPOTrainer.cpo_loss(trainer, side(policy, 0), side(policy, 1))
    nll = -side(policy, 0).sum() / sum(tokens(policy, 0))
    return losses.mean() + alpha * nll


def trl_gradient(loss: Callable[[LogProbs], Tensor], policy: LogProbs) -> tuple[Tensor, Tensor]:
    totals = stacked(policy).requires_grad_()
    found = loss(log_probs(totals, counts_of(policy)))
    (gradient,) = torch.autograd.grad(found, totals)
    return found.detach(), gradient


def assert_same(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], tolerance: float = 1e-9) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs.to(ours.dtype), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("loss_type", "options"),
    [
        ("sigmoid", {}),
        ("hinge", {"preference": "hinge"}),
        ("sigmoid_norm", {"ratio_reduction": "token_mean"}),
        ("ipo", {"preference": "ipo", "ratio_reduction": "token_mean"}),
    ],
)
def test_dpo(loss_type: str, options: dict[str, str]) -> None:
    policy, reference = random_log_probs(11)
    expected = trl_gradient(lambda own: trl_dpo(own, reference, loss_type, 0.3)[0], policy)
    assert_same(loss_and_gradient(Dpo(beta=0.3, **options), policy, reference), expected)
    # CLO without NLL is the sum over both prompt languages, DPO the mean.
    clo = loss_and_gradient(Clo(**{"beta": 0.3, "lambda": 0.0, **options}), policy, reference)
    assert_same(clo, (2 * expected[0], 2 * expected[1]))


def test_rewards_of_dpo() -> None:
    policy, reference = random_log_probs(12)
    metrics = trl_dpo(policy, reference, "sigmoid", 0.3)[1]
    ours = Dpo(beta=0.3).loss(policy, reference).metrics
    for name, theirs in {
        "margin": "margins",
        "chosen": "chosen",
        "rejected": "rejected",
        "accuracy": "accuracies",
    }.items():
        mean = torch.cat([ours[f"{name}_source"], ours[f"{name}_target"]]).mean().item()
        assert mean == pytest.approx(metrics[f"rewards/{theirs}"][0])


def test_label_smoothing() -> None:
    """TRL 1.16 has conservative DPO in CPOTrainer alone; with a uniform reference the two are one."""
    policy, _ = random_log_probs(13)
    uniform = log_probs(torch.zeros(4, 5, dtype=torch.float64), counts_of(policy))
    expected = trl_gradient(lambda own: trl_cpo(own, 0.2, 0.0, label_smoothing=0.15), policy)
    assert_same(loss_and_gradient(Dpo(beta=0.2, label_smoothing=0.15), policy, uniform), expected)


@pytest.mark.parametrize("shift", [2.0, -2.0], ids=["above 0", "below 0"])
def test_kto(shift: float) -> None:
    policy, reference = random_log_probs(14)
    generator = torch.Generator().manual_seed(1)
    fixed = -20 * torch.rand(10, generator=generator, dtype=torch.float64)
    mismatched = (fixed + shift, fixed)
    options = {"beta": 0.3, "desirable_weight": 1.4, "undesirable_weight": 0.6}
    expected = trl_gradient(lambda own: trl_kto(own, reference, mismatched, **options), policy)
    assert_same(loss_and_gradient(Kto(**options), policy, reference, kl=shift), expected)


def test_orpo() -> None:
    """TRL computes the odds in float32, so they agree as far as that goes. Its NLL covers the prompt too; not ours."""
    policy, _ = random_log_probs(15)
    expected = trl_gradient(lambda own: trl_orpo(own, 0.25), policy)
    ours = [loss_and_gradient(Orpo(**{"lambda": weight}), policy, policy) for weight in (0.25, 0.0)]
    difference = (ours[0][0] - ours[1][0], ours[0][1] - ours[1][1])
    assert_same(difference, expected, tolerance=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 0.3])
def test_cpo(alpha: float) -> None:
    policy, _ = random_log_probs(16)
    expected = trl_gradient(lambda own: trl_cpo(own, 0.2, alpha), policy)
    assert_same(loss_and_gradient(Cpo(beta=0.2, alpha=alpha), policy, policy), expected)


@pytest.mark.parametrize("objective", [Dpo(beta=0.3), Kto(), Cpo()], ids=lambda objective: objective.name)
def test_the_comparison_can_fail(objective: Objective) -> None:
    """The oracle reads what it is given: with chosen and rejected exchanged the losses differ."""
    policy, reference = random_log_probs(17)
    flip = {View.SS: View.ST, View.ST: View.SS, View.TT: View.TS, View.TS: View.TT}
    swapped = LogProbs({view: policy.total[flip[view]] for view in ORDER}, policy.tokens)
    mismatched = (side(reference, 0) + 0.7, side(reference, 0))
    expected = {
        "dpo": lambda: trl_dpo(swapped, reference, "sigmoid", 0.3)[0],
        "kto": lambda: trl_kto(swapped, reference, mismatched, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0),
        "cpo": lambda: trl_cpo(swapped, 0.1, 1.0),
    }[objective.name]()
    terms = terms_of(objective, policy, reference)
    ours = sum(t.coefficient * t.numerator.sum() / t.denominator.sum() for t in terms.parts.values())
    assert abs(float(ours) - float(expected)) > 1e-3
