"""The objectives against values worked out by hand, and against their symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from langxfer.builtin.objectives import Clo, Cpo, Dpo, Kto, Orpo, Sft
from langxfer.components import Objective
from langxfer.data import MismatchedView, View
from langxfer.logps import LogProbs
from tests.objective_values import (
    ORDER,
    PAIRS,
    counts_of,
    log_probs,
    loss_and_gradient,
    permuted,
    random_log_probs,
    stacked,
    terms_of,
    value,
)

TOKENS = {View.SS: [4.0, 2.0], View.ST: [5.0, 3.0], View.TS: [6.0, 4.0], View.TT: [7.0, 5.0]}
ALL = [
    Clo(),
    Clo(nll_views=["SS", "TT"], preference="ipo", ratio_reduction="token_mean"),
    Dpo(),
    Dpo(label_smoothing=0.2),
    Dpo(preference="ipo"),
    Dpo(preference="hinge"),
    Sft(),
    Orpo(),
    Kto(desirable_weight=1.5),
    Cpo(),
]
REFERENCED = [objective for objective in ALL if objective.needs_reference]


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


def test_ipo_and_hinge_by_hand() -> None:
    """Margins 7, 1, 3, -3 as above; beta 1/2 puts IPO's aim at 1, and hinge's corner at margin 2."""
    both = log_probs(POLICY, TOKENS), log_probs(REFERENCE, TOKENS)
    assert float(value(Dpo(beta=0.5, preference="ipo").loss(*both))) == pytest.approx((36 + 0 + 4 + 16) / 4)
    assert float(value(Dpo(beta=0.5, preference="hinge").loss(*both))) == pytest.approx((0 + 0.5 + 0 + 2.5) / 4)
    # Means over tokens: 2/4 + 5/5, 0/2 + 1/3 for source prompts, 2/7 + 1/6, -1/5 - 2/4 for target prompts.
    means = [1.5, 1 / 3, 2 / 7 + 1 / 6, -0.7]
    mean_ipo = Dpo(beta=0.5, preference="ipo", ratio_reduction="token_mean")
    assert float(value(mean_ipo.loss(*both))) == pytest.approx(sum((mean - 1) ** 2 for mean in means) / 4)


def test_orpo_by_hand() -> None:
    """Probabilities per token 1/2 for chosen answers (odds 1) and 1/4 for rejected ones (odds 1/3): ratio 3."""
    tokens = {view: [float(2 + place)] for place, view in enumerate(ORDER)}
    nats = {True: -math.log(2), False: -math.log(4)}
    totals = torch.tensor([[nats[view in (View.SS, View.TT)] * tokens[view][0]] for view in ORDER], dtype=torch.float64)
    terms = Orpo(**{"lambda": 0.3}).loss(log_probs(totals, tokens), None)
    assert float(value(terms)) == pytest.approx(math.log(2) + 0.3 * math.log(4 / 3))
    assert terms.metrics["log_odds_ratio_source"].tolist() == pytest.approx([math.log(3)])
    assert terms.metrics["accuracy_target"].tolist() == [1.0]
    assert terms.metrics["nll_SS"].tolist() == pytest.approx([math.log(2)])


def test_cpo_by_hand() -> None:
    """Differences of log-probabilities 20, 5 for source and 11, 1 for target prompts; NLL 34 nats of 18 tokens."""
    terms = Cpo(beta=0.2, alpha=0.5).loss(log_probs(POLICY, TOKENS), None)
    preference = sum(softplus(-0.2 * difference) for difference in (20, 5, 11, 1)) / 4
    assert float(value(terms)) == pytest.approx(preference + 0.5 * 34 / 18)
    assert terms.metrics["margin_source"].tolist() == pytest.approx([4.0, 1.0])


def test_kto_by_hand() -> None:
    """Log-ratios: SS 2, 0; ST -5, -1; TS -1, 2; TT 2, -1. With a KL of 0.5 nats, and one below 0, which counts as 0."""
    for kl, reference_point in ((0.5, 0.5), (-3.0, 0.0)):
        objective = Kto(beta=0.4, desirable_weight=1.5, undesirable_weight=0.5)
        terms = objective.loss(log_probs(POLICY, TOKENS), log_probs(REFERENCE, TOKENS), {"kl": kl})
        desirable = [1 - 1 / (1 + math.exp(-0.4 * (ratio - reference_point))) for ratio in (2, 0, 2, -1)]
        undesirable = [1 - 1 / (1 + math.exp(-0.4 * (reference_point - ratio))) for ratio in (-5, -1, -1, 2)]
        assert float(value(terms)) == pytest.approx((1.5 * sum(desirable) + 0.5 * sum(undesirable)) / 8)
        assert terms.metrics["reward_ST"].tolist() == pytest.approx([-2.0, -0.4])


def test_kto_statistics_by_hand() -> None:
    totals = {MismatchedView.SS: [-7.0, -5.0], MismatchedView.TT: [-3.0, -9.0]}
    fixed = {MismatchedView.SS: [-8.0, -5.5], MismatchedView.TT: [-4.5, -8.0]}
    both = [LogProbs({v: torch.tensor(x) for v, x in values.items()}, {}) for values in (totals, fixed)]
    kl = Kto().statistics(*both)["kl"]
    assert kl.numerator.tolist() == [2.5, -0.5]
    assert kl.denominator.tolist() == [2.0, 2.0]
    assert Kto(kl_views=["TT+1"]).statistics(*both)["kl"].numerator.tolist() == [1.5, -1.0]
    assert Kto().statistic_views == {MismatchedView.SS, MismatchedView.TT}
    assert all(not objective.statistic_views for objective in ALL if objective.name != "kto")


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
    assert float(value(Dpo(label_smoothing=0.3).loss(policy, policy))) == pytest.approx(math.log(2))
    assert float(value(Dpo(preference="ipo").loss(policy, policy))) == pytest.approx(25.0)
    assert float(value(Dpo(preference="hinge").loss(policy, policy))) == pytest.approx(1.0)
    assert float(value(Kto().loss(policy, policy, {"kl": 0.0}))) == pytest.approx(0.5)


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


@pytest.mark.parametrize("objective", ALL, ids=str)
def test_gradients(objective: Objective) -> None:
    policy, reference = random_log_probs(5, batch=3)

    def loss(values: Tensor) -> Tensor:
        return value(terms_of(objective, log_probs(values, counts_of(policy)), reference))

    assert torch.autograd.gradcheck(loss, (stacked(policy).requires_grad_(),))


@pytest.mark.parametrize("objective", REFERENCED, ids=str)
def test_no_gradient_reaches_the_reference(objective: Objective) -> None:
    policy, reference = random_log_probs(12)
    fixed, free = stacked(reference).requires_grad_(), stacked(policy).requires_grad_()
    value(terms_of(objective, log_probs(free), log_probs(fixed))).backward()
    assert fixed.grad is None
    assert free.grad is not None


@pytest.mark.parametrize("objective", ALL, ids=str)
def test_metrics_and_denominators_carry_no_gradient(objective: Objective) -> None:
    policy, reference = random_log_probs(6)
    terms = terms_of(objective, log_probs(stacked(policy).requires_grad_()), reference)
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


@pytest.mark.parametrize("objective", ALL, ids=str)
def test_permuting_the_batch_permutes_everything(objective: Objective) -> None:
    policy, reference = random_log_probs(8)
    order = torch.tensor([3, 0, 4, 1, 2])
    before = terms_of(objective, policy, reference)
    after = terms_of(objective, permuted(policy, order), permuted(reference, order))
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
    ("make", "options"),
    [
        (Clo, {"lambda": 1.1}),
        (Clo, {"lambda": -0.1}),
        (Clo, {"beta": 0}),
        (Clo, {"nll_views": []}),
        (Clo, {"nll_views": ["ST"]}),
        (Sft, {"views": ["TT", "TT"]}),
        (Dpo, {"lambda": 0.5}),
        (Dpo, {"label_smoothing": 0.5}),
        (Dpo, {"preference": "ipo", "label_smoothing": 0.1}),
        (Clo, {"preference": "hinge", "label_smoothing": 0.1}),
        (Orpo, {"lambda": -0.1}),
        (Cpo, {"alpha": -0.1}),
        (Kto, {"desirable_weight": 0}),
        (Kto, {"kl_views": []}),
        (Kto, {"kl_views": ["SS"]}),
        (Kto, {"kl_views": ["TT+1", "TT+1"]}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(make: Callable[..., Objective], options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        make(**options)


def test_label_smoothing_without_an_effect_is_a_sentence() -> None:
    with pytest.raises(ValidationError, match=r"label_smoothing is 0.1, but preference is ipo: only sigmoid has"):
        Dpo(preference="ipo", label_smoothing=0.1)


def test_the_order_of_views_does_not_change_a_cache_key() -> None:
    assert Sft(views=["TT", "SS"]).what() == Sft().what()
    assert Sft().what()["views"] == ["SS", "TT"]
    assert Clo().what()["lambda"] == 0.5
    assert Kto(kl_views=["TT+1", "SS+1"]).what() == Kto().what()


@pytest.mark.parametrize("form", ["sigmoid", "ipo", "hinge"])
def test_lambda_0_is_dpo_for_every_preference(form: str) -> None:
    policy, reference = random_log_probs(13)
    both = {"preference": form, "ratio_reduction": "token_mean", "beta": 0.4}
    clo, dpo = Clo(**{**both, "lambda": 0.0}), Dpo(**both)
    torch.testing.assert_close(value(clo.loss(policy, reference)), 2 * value(dpo.loss(policy, reference)))


def test_without_their_preference_orpo_and_cpo_are_sft_in_their_nll() -> None:
    policy, _ = random_log_probs(14)
    sft = value(Sft().loss(policy, None))
    torch.testing.assert_close(value(Orpo(**{"lambda": 0.0}).loss(policy, None)), sft)
    with_nll, without = (value(Cpo(alpha=alpha).loss(policy, None)) for alpha in (1.0, 0.0))
    torch.testing.assert_close(with_nll - without, sft)


@pytest.mark.parametrize("objective", ALL, ids=str)
def test_the_gradient_prefers_the_language_of_the_prompt(objective: Objective) -> None:
    """Whatever the objective: raising a chosen answer lowers the loss, raising a rejected one does not."""
    policy, _ = random_log_probs(15)
    _, gradient = loss_and_gradient(objective, policy, policy, kl=0.0)  # the first step: no margin yet
    for chosen, rejected in PAIRS:
        assert (gradient[ORDER.index(chosen)] < 0).all()
        assert (gradient[ORDER.index(rejected)] >= 0).all()
    assert (gradient[ORDER.index(View.ST)] > 0).all() == (objective.name != "sft")


def test_tokens_count_for_orpo_and_for_means_alone() -> None:
    """The same nats over twice the tokens: another loss where answers are averaged over them, the same elsewhere."""
    policy, reference = random_log_probs(16)
    longer = LogProbs(policy.total, {view: own * 2 for view, own in policy.tokens.items()})
    for objective in (Dpo(), Dpo(preference="ipo"), Kto(), Cpo(alpha=0.0)):
        torch.testing.assert_close(
            value(terms_of(objective, longer, reference)), value(terms_of(objective, policy, reference))
        )
    for objective in (Orpo(), Dpo(ratio_reduction="token_mean"), Sft()):
        assert value(terms_of(objective, longer, reference)) != value(terms_of(objective, policy, reference))


@pytest.mark.parametrize("objective", ALL, ids=str)
@given(
    tokens=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 200.0]),
)
def test_short_and_empty_responses_are_finite(
    objective: Objective, tokens: list[int], dtype: torch.dtype, scale: float
) -> None:
    """Responses of no token (log-probability 0), of one token, at probability 1, and far from the reference."""
    lengths = {view: [float(length), 1.0] for view, length in zip(ORDER, tokens, strict=True)}
    totals = torch.stack([-scale * torch.tensor(lengths[view]) for view in ORDER]).to(dtype).requires_grad_()
    reference = log_probs(totals.detach().float() * 0.5, lengths)
    terms = terms_of(objective, log_probs(totals, lengths), reference)
    loss = value(terms)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert totals.grad is not None
    assert totals.grad.isfinite().all()
    assert all(metric.isfinite().all() for metric in terms.metrics.values())
