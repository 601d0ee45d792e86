"""A step's loss and gradient: those of the whole batch, however it is cut up, and those of the equations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from langxfer.builtin.objectives import Clo, Dpo, Sft
from langxfer.builtin.selectors import AttentionSelector
from langxfer.components import Objective
from langxfer.data import View
from langxfer.engine import weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.layout import Layout
from langxfer.engine.runtime import Runtime
from langxfer.engine.step import Examples, Step
from langxfer.recipe import Compute, Model
from tests.engine.made_up import log_probs

VIEWS = sorted(View)
BUDGET = 400


def network_of(folder: Path) -> nn.Module:
    return weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))


def shifted(references: Any) -> Any:
    """References that differ from the policy, so that margins and their slopes differ among examples."""
    return {
        name: {view: scores + 0.05 * (1 + place) * (-1) ** VIEWS.index(view) for view, scores in own.items()}
        for place, (name, own) in enumerate(sorted(references.items()))
    }


def step_of(
    network: nn.Module, objective: Objective, runtime: Any, budget: int = BUDGET, layout: Layout = "tree"
) -> Step:
    return Step(Scorer(network, layout), objective, runtime, budget)


def gradient_of(step: Step, examples: Examples) -> dict[str, Tensor]:
    step.scorer.model.zero_grad(set_to_none=True)
    step.run(examples, learn=True)
    return {name: value.grad for name, value in step.scorer.model.named_parameters() if value.grad is not None}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], factor: float = 1.0) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - factor * gradient).norm() <= 1e-5 * abs(factor) * gradient.norm(), name


def by_hand(network: nn.Module, examples: Sequence[Encoded], references: Any, lambda_: float, beta: float) -> Tensor:
    """CLO (arXiv 2505.14297, equations 3 to 7), NLL per token, from transformers' logits, one response at a time."""
    nll, tokens, preference = [], 0, []
    for example in examples:
        total: dict[str, Tensor] = {}
        for view in View:
            prompt, response = example.prompts[view.prompt], example.responses[view]
            logits = network(input_ids=torch.tensor([prompt + response])).logits[0]
            scores = logits.log_softmax(-1)[len(prompt) - 1 : -1]
            total[view.value] = scores[range(len(response)), response].sum()
        fixed = {view.value: references[example.id][view].sum() for view in View}
        z_source = beta * ((total["SS"] - fixed["SS"]) - (total["ST"] - fixed["ST"]))
        z_target = beta * ((total["TT"] - fixed["TT"]) - (total["TS"] - fixed["TS"]))
        preference.append((1 + (-z_source).exp()).log() + (1 + (-z_target).exp()).log())
        nll.append(-total["TT"])
        tokens += len(example.responses[View.TT])
    return lambda_ * torch.stack(nll).sum() / tokens + (1 - lambda_) * torch.stack(preference).mean()


def test_loss_and_gradient_are_those_of_the_equations(
    folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime
) -> None:
    network = network_of(folder).double().requires_grad_(True)
    data = Examples(encoded[:7], shifted(references))
    loss = by_hand(network, data.encoded, data.references, 0.3, 0.7)
    loss.backward()
    expected = {name: value.grad for name, value in network.named_parameters()}
    for budget in (1, 100, 10**6):
        for layout in ("tree", "padded"):
            step = step_of(network, Clo(**{"lambda": 0.3, "beta": 0.7}), runtime, budget, layout)
            assert_close(gradient_of(step, data), expected)
            metrics = step.run(data, learn=False)
            assert metrics["loss"] == pytest.approx(loss.item(), rel=1e-6)
            assert metrics["loss"] == pytest.approx(0.3 * metrics["nll"] + 0.7 * metrics["preference"])


@pytest.mark.parametrize("objective", [Clo(), Dpo(), Sft()], ids=lambda objective: objective.name)
def test_processes_share_a_batch(
    folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime, objective: Objective
) -> None:
    """Gradients of ranks add up to the whole batch's, also when their shares differ in examples and tokens."""
    network = network_of(folder).requires_grad_(True)
    data = Examples(encoded[:5], shifted(references) if objective.needs_reference else None)
    whole = gradient_of(step_of(network, objective, runtime), data)
    for world in (2, 3):
        summed: dict[str, Tensor] = {}
        for rank in range(world):
            process = SimpleNamespace(rank=rank, world=world, device="cpu", sum_=lambda tensors: None)
            for name, gradient in gradient_of(step_of(network, objective, process), data).items():
                summed[name] = summed.get(name, torch.zeros(())) + gradient
        assert_close(summed, whole)


def test_step_0_identity(folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime) -> None:
    """Policy = reference: CLO's preference is 2 ln 2, DPO's ln 2, whatever the batches and micro-batches."""
    network = network_of(folder)
    weights.trainable(network, AttentionSelector())
    data = Examples(encoded, references)
    for budget in (1, BUDGET, 10**6):
        clo = step_of(network, Clo(), runtime, budget).run(data, learn=True)
        assert clo["preference"] == pytest.approx(2 * math.log(2), abs=2e-6)
        assert abs(clo["margin_source"]) < 1e-5
        dpo = step_of(network, Dpo(), runtime, budget).run(data, learn=False)
        assert dpo["preference"] == dpo["loss"] == pytest.approx(math.log(2), abs=1e-6)
    same = step_of(network, Clo(), runtime).scorer
    for example in encoded:
        policy = log_probs(same, [example], VIEWS)
        fixed = Examples([example], references).reference(VIEWS, "cpu")
        assert fixed is not None
        for objective in (Clo(), Dpo()):
            pair = objective.loss(policy, fixed).parts["preference"].numerator.item()
            assert pair == pytest.approx(2 * math.log(2), abs=1e-6)


def test_lambda_1_is_sft_and_lambda_0_is_dpo(
    folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime
) -> None:
    network = network_of(folder).requires_grad_(True)
    data = Examples(encoded[:5], shifted(references))

    def gradient(objective: Objective) -> dict[str, Tensor]:
        return gradient_of(step_of(network, objective, runtime), data)

    assert_close(gradient(Clo(**{"lambda": 1.0})), gradient(Sft(views=["TT"])))
    alone = gradient(Clo(**{"lambda": 0.0}))
    assert_close(alone, gradient(Dpo()), factor=2.0)  # a sum over languages, a mean over pairs
    assert_close(gradient(Clo(**{"lambda": 1.0, "nll_views": ["SS", "TT"]})), gradient(Sft()))
    half = gradient(Clo())
    nll = gradient(Clo(**{"lambda": 1.0}))
    assert_close(half, {name: (nll[name] + alone[name]) / 2 for name in half})


def test_activation_checkpointing_gives_the_same_gradient(
    folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime
) -> None:
    network = network_of(folder)
    weights.trainable(network, AttentionSelector())
    step, data = step_of(network, Clo(), runtime), Examples(encoded[:5], references)
    plain = gradient_of(step, data)
    weights.recompute_activations(network)
    network.train()
    calls = []
    network.model.layers[0].self_attn.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    assert_close(gradient_of(step, data), plain)
    assert len(calls) == 2 * len(list(step.scorer.micro_batches(data.encoded, VIEWS, BUDGET)))  # computed again
