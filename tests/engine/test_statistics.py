"""Statistics of the batch: the global ones, whatever the micro-batches and processes; KTO trained with them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from langxfer.builtin.objectives import Clo, Dpo, Kto
from langxfer.builtin.selectors import AttentionSelector
from langxfer.data import MismatchedView, View
from langxfer.engine import reference, weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.mismatch import with_mismatched
from langxfer.engine.objectives import scored_views
from langxfer.engine.runtime import Runtime
from langxfer.engine.statistics import NotFinite, batch_statistics
from langxfer.engine.step import Examples, Step
from langxfer.recipe import Compute, Model

BUDGET = 400
ALL = Kto(kl_views=list(MismatchedView))


def network_of(folder: Path, *, dropout: bool = False) -> nn.Module:
    return weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"), dropout=dropout)


@pytest.fixture(scope="module")
def paired(encoded: list[Encoded]) -> list[Encoded]:
    return with_mismatched(encoded, MismatchedView, 500, "train examples")


@pytest.fixture(scope="module")
def references(folder: Path, paired: list[Encoded], tmp_path_factory: pytest.TempPathFactory) -> Any:
    where = tmp_path_factory.mktemp("reference")
    reference.write_parts(where, Scorer(network_of(folder), "tree"), paired, scored_views(ALL), BUDGET)
    return reference.read(where, paired, scored_views(ALL))


@pytest.fixture
def data(paired: list[Encoded], references: Any) -> Examples:
    """References that differ from the policy in another way for every example and view."""
    views = scored_views(ALL)
    moved = {
        name: {v: scores - 0.02 * (1 + place) * (-0.7) ** views.index(v) for v, scores in own.items()}
        for place, (name, own) in enumerate(sorted(references.items()))
    }
    return Examples(paired, moved)


def step_of(network: nn.Module, objective: Any, runtime: Any, budget: int = BUDGET, layout: Any = "tree") -> Step:
    return Step(Scorer(network, layout), objective, runtime, budget)


def gradient_of(step: Step, examples: Examples) -> tuple[dict[str, Tensor], dict[str, float]]:
    step.scorer.model.zero_grad(set_to_none=True)
    found = step.run(examples, learn=True)
    return {n: p.grad.clone() for n, p in step.scorer.model.named_parameters() if p.grad is not None}, found


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).norm() <= tolerance * gradient.norm(), name


def total_by_hand(network: nn.Module, prompt: list[int], response: list[int]) -> Tensor:
    logits = network(input_ids=torch.tensor([prompt + response])).logits[0]
    return logits.log_softmax(-1)[len(prompt) - 1 : -1][range(len(response)), response].sum()


def kto_by_hand(network: nn.Module, data: Examples, objective: Kto) -> tuple[Tensor, float]:
    """KTO (arXiv 2402.01306, equation 8) from transformers' logits, one response at a time, and its KL."""

    def ratio(example: Encoded, view: View | MismatchedView) -> Tensor:
        total = total_by_hand(network, example.prompts[view.prompt], example.responses[view])
        return total - data.references[example.id][view].double().sum()

    with torch.no_grad():
        own = [ratio(e, view) for e in data.encoded for view in objective.statistic_views]
        kl = torch.stack(own).mean().item()
    losses = []
    for example in data.encoded:
        for view in View:
            gain = objective.beta * (ratio(example, view) - max(0.0, kl))
            desirable = view in (View.SS, View.TT)
            weight = objective.desirable_weight if desirable else objective.undesirable_weight
            losses.append(weight * (1 - torch.sigmoid(gain if desirable else -gain)))
    return torch.stack(losses).mean(), kl


@pytest.mark.parametrize(
    "objective", [Kto(beta=0.8, undesirable_weight=0.7), Kto(kl_views=["ST+1"], beta=0.8)], ids=["default", "ST+1"]
)
def test_kto_is_that_of_the_equation_however_the_batch_is_cut(
    folder: Path, data: Examples, runtime: Runtime, objective: Kto
) -> None:
    """The KL of the whole batch is in every micro-batch's loss, and has no gradient."""
    network = network_of(folder).double().requires_grad_(True)
    batch = data.select(range(7))
    loss, kl = kto_by_hand(network, batch, objective)
    loss.backward()
    expected = {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}
    assert abs(kl) > 0.01
    for budget in (1, 100, 10**6):
        for layout in ("tree", "padded"):
            gradient, found = gradient_of(step_of(network, objective, runtime, budget, layout), batch)
            assert_close(gradient, expected, 5e-5)  # totals of hundreds of nats are float32
            assert found["loss"] == pytest.approx(loss.item(), rel=5e-6)
            assert found["kl"] == pytest.approx(kl, rel=1e-5)


def test_the_kl_moves_the_gradient(folder: Path, data: Examples, runtime: Runtime) -> None:
    """The tests above would not notice a KL that is computed but not used where it is below 0: here it is above."""
    network = network_of(folder).requires_grad_(True)
    objective = Kto(beta=0.8)
    gradient, found = gradient_of(step_of(network, objective, runtime), data)
    raised = {
        n: {v: s - (v in list(MismatchedView)) * 0.5 for v, s in own.items()} for n, own in data.references.items()
    }
    moved, other = gradient_of(step_of(network, objective, runtime), Examples(data.encoded, raised))
    assert other["kl"] > max(found["kl"], 0) + 1
    assert other["loss"] != pytest.approx(found["loss"], rel=1e-3)
    name = next(iter(gradient))
    assert not torch.allclose(moved[name], gradient[name], rtol=1e-2)


def in_processes(world: int, work: Callable[[Any], Any]) -> list[Any]:
    """``work(runtime)`` as every rank would do it, in threads that add up what they share."""
    barrier, lock, shared = threading.Barrier(world), threading.Lock(), {}
    results: list[Any] = [None] * world

    def sum_(tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            with lock:
                shared["sum"] = shared.get("sum", 0) + tensor.clone()
            barrier.wait(timeout=60)
            tensor.copy_(shared["sum"])
            if barrier.wait(timeout=60) == 0:
                shared.clear()
            barrier.wait(timeout=60)

    def run(rank: int) -> None:
        try:
            results[rank] = work(SimpleNamespace(rank=rank, world=world, device=torch.device("cpu"), sum_=sum_))
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_the_kl_and_their_gradients_add_up(
    folder: Path, data: Examples, runtime: Runtime, world: int
) -> None:
    """Also with a rank that has no example at all: three examples on four ranks."""
    batch = data.select(range(3))
    objective = Kto(beta=0.8)
    whole, expected = gradient_of(step_of(network_of(folder).requires_grad_(True), objective, runtime), batch)
    networks = [network_of(folder).requires_grad_(True) for _ in range(world)]
    results = in_processes(
        world, lambda process: gradient_of(step_of(networks[process.rank], objective, process), batch)
    )
    for _, found in results:
        assert found["kl"] == pytest.approx(expected["kl"], rel=1e-6)
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    summed = {name: sum((own[name] for own, _ in results if name in own), torch.zeros(())) for name in whole}
    assert_close(summed, whole)


def test_before_the_first_step(folder: Path, paired: list[Encoded], references: Any, runtime: Runtime) -> None:
    """Policy = reference: the KL is 0 and the loss 1/2, whatever the micro-batches; in validation too."""
    network = network_of(folder)
    weights.trainable(network, AttentionSelector())
    for budget in (1, BUDGET, 10**6):
        for learn in (True, False):
            found = step_of(network, ALL, runtime, budget).run(Examples(paired, references), learn=learn)
            assert found["kl"] == pytest.approx(0.0, abs=1e-5)
            assert found["loss"] == found["desirable"] / 2 + found["undesirable"] / 2 == pytest.approx(0.5, abs=1e-6)


def test_no_gradient_and_no_dropout(gpt2: Path, data: Examples, runtime: Runtime) -> None:
    """Dropout is on for the loss alone, and the pass for the KL leaves no trace in the gradient or the mode."""
    network = network_of(gpt2, dropout=True).requires_grad_(True).train()
    own, objective = data.select(range(4)), Kto()
    step = step_of(network, objective, runtime)
    first, second = (step.run(own, learn=True) for _ in range(2))
    assert network.training
    assert first["kl"] == second["kl"] == step.run(own, learn=False)["kl"]
    assert first["reward_SS"] != second["reward_SS"]
    network.zero_grad(set_to_none=True)
    batch_statistics(step.scorer, objective, own, runtime, BUDGET)
    assert all(value.grad is None for value in network.parameters())


def test_objectives_without_statistics_cost_no_pass(folder: Path, data: Examples, runtime: Runtime) -> None:
    network = network_of(folder)
    step, calls = step_of(network, Clo(), runtime), []
    network.model.register_forward_hook(lambda *_: calls.append(1))
    assert batch_statistics(step.scorer, Clo(), data, runtime, BUDGET) == {}
    assert not calls
    assert "kl" not in step.run(data, learn=False)


def test_a_kl_that_is_not_finite_names_the_examples(folder: Path, data: Examples, runtime: Runtime) -> None:
    """A NaN would otherwise be clamped to 0 and never be seen."""
    bad = data.encoded[2].id
    broken = {**data.references, bad: {**data.references[bad], MismatchedView.TT: torch.tensor([math.nan])}}
    with pytest.raises(NotFinite, match=rf"kl is not finite for the examples {bad}$"):
        step_of(network_of(folder), Kto(), runtime).run(replace(data, references=broken), learn=True)


def test_the_views_that_are_scored() -> None:
    assert scored_views(Dpo()) == scored_views(Clo()) == ["SS", "ST", "TS", "TT"]
    assert scored_views(Kto()) == ["SS", "SS+1", "ST", "TS", "TT", "TT+1"]
