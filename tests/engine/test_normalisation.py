"""The gradient is that of the global batch: no micro-batching, direction, layout or process changes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from langxfer.builtin.objectives import Clo, Dpo, Sft
from langxfer.components import Objective
from langxfer.data import View
from langxfer.engine import weights
from langxfer.engine.forward import Scorer
from langxfer.engine.layout import Layout, Unit
from langxfer.engine.runtime import Runtime
from langxfer.engine.step import Examples, Step
from langxfer.testing import tiny_model
from tests.engine.made_up import made_up

VIEWS = sorted(View)
# Eight pairs of one length, and seven of very different ones (a ragged last micro-batch).
EQUAL, RAGGED = [(6, 7, 5, 8)] * 8, [(3, 5, 4, 6), (20, 17, 9, 30), (1, 1, 1, 2), (9, 2, 12, 1), (4, 4, 5, 5)] * 2
OBJECTIVES = [Clo(), Clo(nll_reduction="sequence_sum"), Dpo(), Sft()]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """GPT-2: all of it works in float64 when it is asked to."""
    folder: Path = tiny_model(tmp_path_factory.mktemp("gpt2"), "gpt2")
    with weights.quiet():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="sdpa").eval()


def examples_of(sizes: list[tuple[int, int, int, int]], objective: Objective) -> Examples:
    encoded = made_up(sizes, seed=5)
    generator = torch.Generator().manual_seed(0)
    references = {
        e.id: {v: -5 * torch.rand(len(e.responses[v]), generator=generator, dtype=torch.float64) for v in VIEWS}
        for e in encoded
    }
    return Examples(encoded, references if objective.needs_reference else None)


def gradient(step: Step, examples: Examples) -> dict[str, Tensor]:
    step.scorer.model.zero_grad(set_to_none=True)
    step.run(examples, learn=True)
    return {name: value.grad for name, value in step.scorer.model.named_parameters() if value.grad is not None}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, own in expected.items():
        assert (found[name] - own).norm() <= 1e-12 * own.norm() + 1e-15, name


class Whole(Clo):
    """CLO that does not say that its directions separate: an example stays whole."""

    directions_separate = False


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: f"{objective.name}")
@pytest.mark.parametrize("layout", ["tree", "flat", "padded"])
def test_micro_batches_of_eight_four_and_one(
    network: nn.Module, runtime: Runtime, objective: Objective, layout: Layout
) -> None:
    scorer, views = Scorer(network, layout), sorted(objective.views)
    for sizes in (EQUAL, RAGGED):
        examples = examples_of(sizes, objective)
        whole = gradient(Step(scorer, objective, runtime, 10**6), examples)
        most = sum(unit.tokens for unit in scorer.units(examples.encoded, views))
        counts = {1}
        for share in (2, 3, 4, 6, 8, 16):
            budget = -(-most // share)
            groups = list(scorer.micro_batches(examples.encoded, views, budget))
            counts.add(len(groups))
            assert_equal(gradient(Step(scorer, objective, runtime, budget), examples), whole)
        assert len(counts) >= 4  # so many different ways to cut the batch up


@pytest.mark.parametrize("world", [2, 3])
def test_processes(network: nn.Module, runtime: Runtime, world: int) -> None:
    examples, scorer = examples_of(RAGGED, Clo()), Scorer(network, "tree")
    whole = gradient(Step(scorer, Clo(), runtime, 100), examples)
    summed: dict[str, Tensor] = {name: torch.zeros_like(value) for name, value in whole.items()}
    for rank in range(world):
        process: Any = SimpleNamespace(rank=rank, world=world, device="cpu", sum_=lambda tensors: None)
        for name, own in gradient(Step(scorer, Clo(), process, 100), examples).items():
            summed[name] += own
    assert_equal(summed, whole)


def test_a_direction_is_a_micro_batch_only_where_the_loss_separates(network: nn.Module, runtime: Runtime) -> None:
    examples, scorer = examples_of(RAGGED, Clo()), Scorer(network, "tree")
    groups: list[list[Unit]] = []
    plain = scorer.micro_batches

    def watched(*given: Any) -> Any:
        groups[:] = plain(*given)
        return iter(groups)

    scorer.micro_batches = watched  # type: ignore[method-assign]
    apart = gradient(Step(scorer, Clo(), runtime, 1), examples)
    assert {unit.views for units in groups for unit in units} == {(View.SS, View.ST), (View.TS, View.TT)}
    together = gradient(Step(scorer, Whole(), runtime, 1), examples)
    assert {unit.views for units in groups for unit in units} == {tuple(VIEWS)}
    assert_equal(together, apart)


class Kept:
    """A tensor that autograd keeps for a backward pass."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def test_no_memory_of_an_example_outlives_its_micro_batch(network: nn.Module, runtime: Runtime) -> None:
    """When a micro-batch begins, nothing that autograd kept of an earlier one is alive."""
    examples, scorer = examples_of(RAGGED, Clo()), Scorer(network, "tree")
    kept, alive, peak = WeakSet[Kept](), [], []
    plain = scorer.score

    def keep(tensor: Tensor) -> Kept:
        found = Kept(tensor)
        kept.add(found)
        return found

    def watched(units: Any) -> Any:
        alive.append(len(kept))
        scores = plain(units)
        peak.append(len(kept))
        return scores

    scorer.score = watched  # type: ignore[method-assign]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda found: found.tensor):
        gradient(Step(scorer, Clo(), runtime, 1), examples)
    assert len(alive) > 5
    assert set(alive) == {0}
    assert min(peak) > 20


def test_metrics_do_not_depend_on_micro_batches(network: nn.Module, runtime: Runtime) -> None:
    examples, scorer = examples_of(RAGGED, Clo()), Scorer(network, "tree")
    whole = Step(scorer, Clo(), runtime, 10**6).run(examples, learn=False)
    for budget in (1, 77):
        for learn in (True, False):
            found = Step(scorer, Clo(), runtime, budget).run(examples, learn=learn)
            assert found.keys() == whole.keys()
            assert all(found[name] == pytest.approx(value, rel=1e-9) for name, value in whole.items())
