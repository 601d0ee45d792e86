"""The objectives against values worked out by hand, against their symmetries, and against TRL."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from langxfer.builtin.objectives import Clo, Dpo, Sft
from langxfer.components import Objective, Terms
from langxfer.data import View
from langxfer.logps import LogProbs

ORDER = (View.SS, View.ST, View.TS, View.TT)
TOKENS = {View.SS: [4.0, 2.0], View.ST: [5.0, 3.0], View.TS: [6.0, 4.0], View.TT: [7.0, 5.0]}


def log_probs(totals: Tensor, tokens: dict[View, list[float]] | None = None) -> LogProbs:
    """``totals`` is ``[4, B]`` in the order SS, ST, TS, TT."""
    counts = tokens or {view: [3.0] * totals.shape[1] for view in ORDER}
    return LogProbs(
        dict(zip(ORDER, totals, strict=True)),
        {view: torch.tensor(counts[view], dtype=totals.dtype) for view in ORDER},
    )


def value(terms: Terms) -> Tensor:
    """What the trainer makes of the terms."""
    return sum(
        (t.coefficient * t.numerator.sum() / t.denominator.sum() for t in terms.parts.values()), torch.tensor(0.0)
    )


def random_log_probs(seed: int, batch: int = 5) -> tuple[LogProbs, LogProbs]:
    generator = torch.Generator().manual_seed(seed)
    policy, reference = -20 * torch.rand(2, 4, batch, generator=generator, dtype=torch.float64)
    counts = {view: [float(3 + row + 2 * place) for row in range(batch)] for place, view in enumerate(ORDER)}
    return log_probs(policy, counts), log_probs(reference, counts)


POLICY = torch.tensor([[-10.0, -4.0], [-30.0, -9.0], [-25.0, -7.0], [-14.0, -6.0]], dtype=torch.float64)
REFERENCE = torch.tensor([[-12.0, -4.0], [-25.0, -8.0], [-24.0, -9.0], [-16.0, -5.0]], dtype=torch.float64)


def softplus(x: float) -> float:
    """-log sigmoid(-x), by hand."""
    return math.log(1 + math.exp(x))


# By hand: source margins (−10+12)−(−30+25) = 7 and 0−(−1) = 1; target (−14+16)−(−25+24) = 3 and −1−2 = −3.
PREFERENCES = [softplus(-0.7) + softplus(-0.3), softplus(-0.1) + softplus(0.3)]


def test_clo_by_hand() -> None:
    terms = Clo().loss(log_probs(POLICY, TOKENS), log_probs(REFERENCE, TOKENS))
    assert terms.parts["preference"].numerator.tolist() == pytest.approx(PREFERENCES)
    assert terms.parts["nll"].numerator.tolist() == [14.0, 6.0]
    assert terms.parts["nll"].denominator.tolist() == [7.0, 5.0]
    assert float(value(terms)) == pytest.approx(0.5 * 20 / 12 + 0.5 * sum(PREFERENCES) / 2)
    assert terms.metrics["margin_source"].tolist() == pytest.approx([0.7, 0.1])
    assert terms.metrics["margin_target"].tolist() == pytest.approx([0.3, -0.3])
    assert terms.metrics["accuracy_target"].tolist() == [1.0, 0.0]
    assert terms.metrics["chosen_source"].tolist() == pytest.approx([0.2, 0.0])
    assert terms.metrics["rejected_source"].tolist() == pytest.approx([-0.5, -0.1])
    assert terms.metrics["nll_TT"].tolist() == pytest.approx([2.0, 1.2])


def test_clo_sequence_sum_is_the_equation() -> None:
    """Equations 3 to 5 of arXiv 2505.14297: means over examples of sums over tokens."""
    objective = Clo(**{"lambda": 0.25, "nll_reduction": "sequence_sum"})
    terms = objective.loss(log_probs(POLICY, TOKENS), log_probs(REFERENCE, TOKENS))
    assert float(value(terms)) == pytest.approx(0.25 * (14 + 6) / 2 + 0.75 * sum(PREFERENCES) / 2)


def test_dpo_by_hand_is_the_mean_over_pairs() -> None:
    terms = Dpo().loss(log_probs(POLICY), log_probs(REFERENCE))
    assert float(value(terms)) == pytest.approx(sum(PREFERENCES) / 4)


def test_sft_by_hand() -> None:
    policy = log_probs(POLICY, TOKENS)
    assert float(value(Sft().loss(policy, None))) == pytest.approx((10 + 4 + 14 + 6) / (4 + 2 + 7 + 5))
    assert float(value(Sft(nll_reduction="sequence_sum").loss(policy, None))) == pytest.approx((10 + 4 + 14 + 6) / 4)
    assert float(value(Sft(views=["TT"]).loss(policy, None))) == pytest.approx(20 / 12)
    assert float(value(Sft(views=["SS"]).loss(policy, None))) == pytest.approx(14 / 6)
    assert Sft().loss(policy, None).metrics["nll_SS"].tolist() == pytest.approx([2.5, 2.0])


def test_sft_reads_no_view_but_its_own() -> None:
    """The engine computes nothing else, so anything else would be a KeyError."""
    policy = log_probs(POLICY, TOKENS)
    only = LogProbs({View.TT: policy.total[View.TT]}, {View.TT: policy.tokens[View.TT]})
    objective = Sft(views=["TT"])
    assert objective.views == {View.TT}
    assert not objective.needs_reference
    objective.loss(only, None)


def test_before_the_first_step() -> None:
    policy, _ = random_log_probs(3)
    assert float(value(Dpo().loss(policy, policy))) == pytest.approx(math.log(2))
    clo = Clo(**{"lambda": 0.0}).loss(policy, policy)
    assert float(value(clo)) == pytest.approx(2 * math.log(2))
    assert clo.metrics["margin_source"].abs().max() == 0
    assert clo.metrics["accuracy_source"].max() == 0


@pytest.mark.parametrize("objective", [Clo(), Dpo()], ids=lambda objective: objective.name)
def test_swapping_chosen_and_rejected_flips_the_margins(objective: Objective) -> None:
    policy, reference = random_log_probs(4)

    def swapped(values: LogProbs) -> LogProbs:
        flip = {View.SS: View.ST, View.ST: View.SS, View.TT: View.TS, View.TS: View.TT}
        return LogProbs({view: values.total[flip[view]] for view in ORDER}, values.tokens)

    straight, flipped = objective.loss(policy, reference), objective.loss(swapped(policy), swapped(reference))
    for side in ("source", "target"):
        torch.testing.assert_close(flipped.metrics[f"margin_{side}"], -straight.metrics[f"margin_{side}"])
        torch.testing.assert_close(flipped.metrics[f"accuracy_{side}"], 1 - straight.metrics[f"accuracy_{side}"])
    # -log σ(-z) = z - log σ(z)
    difference = flipped.parts["preference"].numerator - straight.parts["preference"].numerator
    torch.testing.assert_close(difference, straight.metrics["margin_source"] + straight.metrics["margin_target"])


@pytest.mark.parametrize("objective", [Clo(), Clo(nll_views=["SS", "TT"]), Dpo(), Sft()], ids=str)
def test_gradients(objective: Objective) -> None:
    policy, reference = random_log_probs(5, batch=3)
    totals = torch.stack([policy.total[view] for view in ORDER]).requires_grad_()

    def loss(values: Tensor) -> Tensor:
        return value(objective.loss(log_probs(values), reference))

    assert torch.autograd.gradcheck(loss, (totals,))


@pytest.mark.parametrize("objective", [Clo(), Dpo()], ids=lambda objective: objective.name)
def test_no_gradient_reaches_the_reference(objective: Objective) -> None:
    policy, reference = random_log_probs(12)
    fixed = torch.stack([reference.total[view] for view in ORDER]).requires_grad_()
    free = torch.stack([policy.total[view] for view in ORDER]).requires_grad_()
    value(objective.loss(log_probs(free), log_probs(fixed))).backward()
    assert fixed.grad is None
    assert free.grad is not None


@pytest.mark.parametrize("objective", [Clo(), Dpo()], ids=lambda objective: objective.name)
def test_metrics_and_denominators_carry_no_gradient(objective: Objective) -> None:
    policy, reference = random_log_probs(6)
    totals = torch.stack([policy.total[view] for view in ORDER]).requires_grad_()
    terms = objective.loss(log_probs(totals), reference)
    assert not any(metric.requires_grad for metric in terms.metrics.values())
    assert not any(term.denominator.requires_grad for term in terms.parts.values())
    assert all(term.numerator.requires_grad for term in terms.parts.values())


def test_preference_is_blind_to_a_shift_that_policy_and_reference_share() -> None:
    """Only ratios count; a shared change of one response's likelihood leaves the preference alone."""
    policy, reference = random_log_probs(7)
    shift = torch.arange(20, dtype=torch.float64).reshape(4, 5)

    def shifted(values: LogProbs) -> LogProbs:
        return log_probs(torch.stack([values.total[view] for view in ORDER]) + shift)

    before, after = Dpo().loss(policy, reference), Dpo().loss(shifted(policy), shifted(reference))
    torch.testing.assert_close(before.parts["preference"].numerator, after.parts["preference"].numerator)


@pytest.mark.parametrize("objective", [Clo(), Dpo(), Sft()], ids=lambda objective: objective.name)
def test_permuting_the_batch_permutes_everything(objective: Objective) -> None:
    policy, reference = random_log_probs(8)
    order = torch.tensor([3, 0, 4, 1, 2])

    def permuted(values: LogProbs) -> LogProbs:
        total = {view: values.total[view][order] for view in ORDER}
        return LogProbs(total, {view: values.tokens[view][order] for view in ORDER})

    before, after = objective.loss(policy, reference), objective.loss(permuted(policy), permuted(reference))
    for name, term in before.parts.items():
        torch.testing.assert_close(after.parts[name].numerator, term.numerator[order])
        torch.testing.assert_close(after.parts[name].denominator, term.denominator[order])
    for name, metric in before.metrics.items():
        torch.testing.assert_close(after.metrics[name], metric[order])


def test_lambda_at_its_ends() -> None:
    policy, reference = random_log_probs(9)
    all_nll = Clo(**{"lambda": 1.0}).loss(policy, reference)
    torch.testing.assert_close(value(all_nll), value(Sft(views=["TT"]).loss(policy, None)))
    no_nll = Clo(**{"lambda": 0.0}).loss(policy, reference)
    torch.testing.assert_close(value(no_nll), 2 * value(Dpo().loss(policy, reference)))


@pytest.mark.parametrize(
    ("make", "option", "other"),
    [
        (Clo, "beta", 0.2),
        (Clo, "lambda", 0.4),
        (Clo, "nll_views", ["SS"]),
        (Clo, "nll_reduction", "sequence_sum"),
        (Dpo, "beta", 0.2),
        (Sft, "views", ["SS"]),
        (Sft, "nll_reduction", "sequence_sum"),
    ],
    ids=lambda item: getattr(item, "__name__", str(item)),
)
def test_every_option_changes_the_loss(make: Callable[..., Objective], option: str, other: object) -> None:
    policy, reference = random_log_probs(10)
    assert value(make().loss(policy, reference)) != value(make(**{option: other}).loss(policy, reference))


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (Clo, {"lambda": 1.1}),
        (Clo, {"lambda": -0.1}),
        (Clo, {"beta": 0}),
        (Clo, {"nll_views": []}),
        (Clo, {"nll_views": ["ST"]}),
        (Sft, {"views": ["TT", "TT"]}),
        (Dpo, {"lambda": 0.5}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(make: Callable[..., Objective], options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make(**options)


def test_the_order_of_views_does_not_change_a_cache_key() -> None:
    assert Sft(views=["TT", "SS"]).what() == Sft().what()
    assert Sft().what()["views"] == ["SS", "TT"]
    assert Clo().what()["lambda"] == 0.5


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed: the oracle for DPO")
@pytest.mark.filterwarnings("ignore")
def test_dpo_agrees_with_trl() -> None:
    """TRL's own ``DPOTrainer._compute_loss``, given a model that answers with our log-probabilities."""
    if importlib.metadata.version("trl").split(".")[:2] != ["1", "16"]:
        pytest.skip("the oracle is written against TRL 1.16")
    policy, reference = random_log_probs(11)
    pairs = [(View.SS, View.ST), (View.TT, View.TS)]

    def side(values: LogProbs, place: int) -> Tensor:
        return torch.cat([values.total[pair[place]] for pair in pairs])

    expected, rewards = trl_dpo(side(policy, 0), side(policy, 1), side(reference, 0), side(reference, 1), beta=0.3)
    terms = Dpo(beta=0.3).loss(policy, reference)
    torch.testing.assert_close(value(terms), expected)
    ours = torch.cat([terms.metrics["margin_source"], terms.metrics["margin_target"]])
    assert float(ours.mean()) == pytest.approx(rewards)


def trl_dpo(
    chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> tuple[Tensor, float]:
    """Loss and mean reward margin of TRL for these ``[B]`` log-probabilities, one response token each."""
    from collections import defaultdict

    from trl.trainer.dpo_trainer import DPOTrainer

    rows = 2 * len(chosen)
    flat = torch.zeros(rows, 1)
    model = SimpleNamespace(training=True)
    outputs = SimpleNamespace(
        log_probs=torch.cat([chosen, rejected]).unsqueeze(1), entropy=flat, mean_logits=flat, is_top1=flat.bool()
    )

    def gather(values: Tensor) -> Tensor:
        return values

    accelerator = SimpleNamespace(device="cpu", gather=gather, gather_for_metrics=gather)
    trainer = SimpleNamespace(
        model=model, accelerator=accelerator, aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True,
        f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0], beta=beta, use_weighting=False,
        _metrics={"train": defaultdict(list)}, _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.ones(rows, 2, dtype=torch.long),
        "attention_mask": torch.ones(rows, 2, dtype=torch.long),
        "completion_mask": torch.tensor([[0, 1]] * rows),
        "ref_chosen_logps": reference_chosen,
        "ref_rejected_logps": reference_rejected,
    }
    loss = DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)
    return loss, trainer._metrics["train"]["rewards/margins"][0]
