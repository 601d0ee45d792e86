"""The training loop: frozen weights, stops, the best weights, dropout, and going on after a kill."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from langxfer.builtin.objectives import Clo, Dpo, Sft
from langxfer.builtin.selectors import AttentionSelector, FullSelector
from langxfer.components import Objective, Selector
from langxfer.data import View
from langxfer.engine import checkpoints, reference, weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.layout import Layout
from langxfer.engine.runtime import Runtime
from langxfer.engine.statistics import NotFinite
from langxfer.engine.step import Examples, Step
from langxfer.engine.train import optimizer_of, parameter_groups, train
from langxfer.events import Event, StepFinished, Validated
from langxfer.recipe import Compute, Model, Training
from langxfer.testing import tiny_model

VIEWS = sorted(View)
COMPUTE = Compute(device="cpu", threads=1, checkpoint_every=2)
BUDGET = 400


def network_of(folder: Path, *, dropout: bool = False) -> nn.Module:
    return weights.load_model(Model(source=str(folder)), folder, [], COMPUTE, torch.device("cpu"), dropout=dropout)


def references_of(folder: Path, encoded: Sequence[Encoded], where: Path, views: Sequence[View] = VIEWS) -> Any:
    """The real thing: written to files by the same path, and read again."""
    where.mkdir(parents=True, exist_ok=True)
    reference.write_parts(where, Scorer(network_of(folder), "tree"), encoded, views, BUDGET)
    return reference.read(where, encoded, views)


def step_of(
    network: nn.Module, objective: Objective, runtime: Any, budget: int = BUDGET, layout: Layout = "tree"
) -> Step:
    return Step(Scorer(network, layout), objective, runtime, budget)


class Stop(BaseException):  # as Ctrl+C: what else is raised in a stage becomes a StageError
    """A kill, as far as one process can play it."""


def run_training(
    folder: Path,
    where: Path,
    data: Examples,
    objective: Objective,
    training: Training,
    runtime: Any,
    selector: Selector | None = None,
    validation: Sequence[Encoded] = (),
    emit: Callable[[Event], None] = lambda event: None,
) -> tuple[nn.Module, dict[str, Any]]:
    """As the train stage does it."""
    where.mkdir(exist_ok=True)
    network = network_of(folder, dropout=training.dropout)
    parameters = weights.trainable(network, selector or AttentionSelector())
    step = step_of(network, objective, runtime)
    if training.dropout:
        network.train()
    held_out = Examples(list(validation), data.references)
    return network, train(step, parameters, training, COMPUTE, data, held_out, where, "train[0]", emit)


def rows(where: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (where / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def same(first: nn.Module, second: nn.Module) -> bool:
    own = state(second)
    return all(torch.equal(value, own[name]) for name, value in state(first).items())


def test_frozen_weights_stay_bit_for_bit(
    folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime, tmp_path: Path
) -> None:
    before = state(network_of(folder))
    training = Training(learning_rate=1e-2, weight_decay=0.5, batch_size=4, steps=3)
    network, facts = run_training(folder, tmp_path, Examples(encoded, references), Clo(), training, runtime)
    names = AttentionSelector().select({name: tuple(value.shape) for name, value in before.items()})
    assert len(names) == 8
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name]) == (name not in names), name
        assert (value.grad is None) == (name not in names)
    assert facts["steps"] == 3
    assert facts["response_tokens"] == sum(row["response_tokens"] for row in rows(tmp_path))


def test_training_learns(
    folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime, tmp_path: Path
) -> None:
    training = Training(learning_rate=3e-3, batch_size=11, steps=12)
    run_training(folder, tmp_path, Examples(encoded, references), Clo(), training, runtime)
    first, last = rows(tmp_path)[0], rows(tmp_path)[-1]
    assert first["preference"] == pytest.approx(2 * math.log(2), abs=1e-5)
    assert last["loss"] < 0.9 * first["loss"]
    assert last["accuracy_source"] > 0.7
    assert first["response_tokens"] == sum(len(ids) for e in encoded for ids in e.responses.values())
    assert last["learning_rate"] == training.min_learning_rate


def test_matrices_decay_and_vectors_do_not(folder: Path) -> None:
    parameters = weights.trainable(network_of(folder), FullSelector())
    decayed, others = parameter_groups(parameters, Training(weight_decay=0.1))
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(value.ndim > 1 for value in decayed["params"])
    assert len(others["params"]) == 5  # two norms a layer and the last
    assert len(decayed["params"]) + len(others["params"]) == len(parameters)
    attention = weights.trainable(network_of(folder), AttentionSelector())
    assert len(parameter_groups(attention, Training())) == 1


def test_one_kernel_updates_the_weights_on_a_gpu(folder: Path, tmp_path: Path) -> None:
    parameters = weights.trainable(network_of(folder), FullSelector())
    assert optimizer_of(parameters, Training(), torch.device("cpu")).defaults["fused"] is None
    assert optimizer_of(parameters, Training(), torch.device("cuda")).defaults["fused"]
    strided = {"weight": nn.Parameter(torch.zeros(3, 2).T)}
    assert optimizer_of(strided, Training(), torch.device("cuda")).defaults["fused"] is None


@pytest.mark.parametrize("made_for", ["cuda", "cpu"])
def test_an_optimizer_goes_on_from_a_checkpoint(tmp_path: Path, made_for: str) -> None:
    """Of either kind: the fused one counts its steps where the weights are, the other one on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gradients = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0)).to(device)

    def fresh() -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
        parameters = {"weight": nn.Parameter(torch.ones(4, 2, device=device))}
        return parameters, optimizer_of(parameters, Training(learning_rate=0.1), torch.device(made_for))

    whole, optimizer = fresh()
    for number, gradient in enumerate(gradients):
        whole["weight"].grad = gradient
        optimizer.step()
        if number == 1:
            checkpoints.save(tmp_path, whole, optimizer, checkpoints.Progress(step=2))
    resumed, optimizer = fresh()
    assert checkpoints.load(tmp_path, resumed, optimizer).step == 2
    assert optimizer.state[resumed["weight"]]["step"].device.type == (device.type if made_for == "cuda" else "cpu")
    resumed["weight"].grad = gradients[2]
    optimizer.step()
    assert torch.equal(whole["weight"], resumed["weight"])


def test_clipping(folder: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path) -> None:
    """A clipped first step of plain momentum-free Adam does not depend on the gradient's size; its norm is reported."""
    data, norms = Examples(encoded, None), []
    for number, limit in enumerate((None, 1e-3)):
        training = Training(batch_size=11, steps=1, max_grad_norm=limit, epsilon=1.0, learning_rate=1.0)
        network, _ = run_training(folder, tmp_path / str(number), data, Sft(), training, runtime)
        norms.append(rows(tmp_path / str(number))[0]["grad_norm"])
        start = state(network_of(folder))
        moved = torch.stack([(value - start[name]).norm() for name, value in state(network).items()]).norm().item()
        assert (moved > 1e-2) if limit is None else (0.5e-3 < moved < 1.1e-3)
    assert norms[0] == pytest.approx(norms[1])


def test_a_loss_that_is_not_finite_stops_and_names_the_examples(
    folder: Path, encoded: list[Encoded], references: Any, runtime: Runtime, tmp_path: Path
) -> None:
    bad = encoded[3].id
    broken = {**references, bad: {**references[bad], View.TS: references[bad][View.TS] * math.nan}}
    training = Training(batch_size=11, steps=2)
    with pytest.raises(NotFinite, match=rf"preference is not finite for the examples {bad}$"):
        run_training(folder, tmp_path, Examples(encoded, broken), Clo(), training, runtime)
    assert rows(tmp_path) == []
    with pytest.raises(NotFinite, match=bad):
        step_of(network_of(folder), Dpo(), runtime).run(Examples(encoded, broken), learn=False)


def test_a_gradient_that_is_not_finite_stops_before_the_step(
    folder: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path
) -> None:
    network = network_of(folder)
    parameters = weights.trainable(network, AttentionSelector())
    before = state(network)
    next(iter(parameters.values())).register_hook(lambda gradient: gradient * math.inf)
    step, training = step_of(network, Sft(), runtime), Training(batch_size=3, steps=2)
    data = Examples(encoded, None)
    with pytest.raises(NotFinite, match=r"gradient of step 1 .*; its examples are \S+/de, \S+/de, \S+/de$"):
        train(step, parameters, training, COMPUTE, data, Examples([], None), tmp_path, "train", lambda event: None)
    assert all(torch.equal(value, before[name]) for name, value in state(network).items())


def test_keep_best(folder: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path) -> None:
    """Overfitting a few examples: the weights of the lowest validation loss win, not the last."""
    events: list[Event] = []
    data, held_out = Examples(encoded[:3], None), encoded[5:9]
    settings = {"learning_rate": 0.2, "schedule": "constant", "batch_size": 3, "steps": 9, "validate_every": 2}
    best = Training(**settings, keep="best")
    network, facts = run_training(
        folder, tmp_path / "b", data, Sft(), best, runtime, FullSelector(), held_out, events.append
    )
    found = {event.step: event.loss for event in events if isinstance(event, Validated)}
    assert list(found) == [2, 4, 6, 8, 9]
    assert facts["best_validation_loss"] == min(found.values())
    assert found[facts["best_step"]] == min(found.values())
    assert facts["best_step"] < 9
    assert [event.step for event in events if isinstance(event, Validated) and event.best][-1] == facts["best_step"]
    check = step_of(network, Sft(), runtime)
    assert check.run(Examples(held_out, None), learn=False)["loss"] == pytest.approx(facts["best_validation_loss"])
    options = (Training(**settings), runtime, FullSelector(), held_out)
    last, _ = run_training(folder, tmp_path / "l", data, Sft(), *options)
    check = step_of(last, Sft(), runtime)
    assert check.run(Examples(held_out, None), learn=False)["loss"] == pytest.approx(found[9])
    assert found[9] > facts["best_validation_loss"]


def test_dropout(gpt2: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path) -> None:
    """Reproducible from the seed alone, off by default, and never on in validation."""
    data, held_out = Examples(encoded[:8], None), encoded[8:]
    settings = {"learning_rate": 1e-3, "batch_size": 4, "steps": 3, "validate_every": 1}

    def trained(name: str, **more: Any) -> nn.Module:
        training = Training(**settings, **more)
        return run_training(gpt2, tmp_path / name, data, Sft(), training, runtime, FullSelector(), held_out)[0]

    first = trained("first", dropout=True)
    torch.manual_seed(7)  # what the process drew before does not count
    torch.rand(13)
    assert same(first, trained("again", dropout=True))
    assert rows(tmp_path / "first") == rows(tmp_path / "again")
    assert not same(first, trained("other", dropout=True, seed=1))
    assert not same(first, trained("off"))
    validation = rows(tmp_path / "first")[-1]["validation/loss"]
    check = step_of(first.eval(), Sft(), runtime)
    assert check.run(Examples(held_out, None), learn=False)["loss"] == pytest.approx(validation)


def test_without_dropout_none_is_left(tmp_path: Path) -> None:
    """Architectures keep its rate in modules and in plain attributes (OPT)."""
    for architecture, config in {"gpt2": {}, "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32, "dropout": 0.5}}.items():
        network = network_of(tiny_model(tmp_path / architecture, architecture, **config)).train()
        ids = torch.arange(5, 25)[None]
        assert torch.equal(network(ids).logits, network(ids).logits), architecture
        network = network_of(tmp_path / architecture, dropout=True).train()
        assert not torch.equal(network(ids).logits, network(ids).logits), architecture


# ---------------------------------------------------------------- going on


@pytest.mark.parametrize("killed_at", [1, 4, 5, 7])
def test_a_resumed_training_is_bit_for_bit_the_uninterrupted_one(
    gpt2: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path, killed_at: int
) -> None:
    """With dropout, in the middle of an epoch, across validations; checkpoints are made every second step."""
    references = references_of(gpt2, encoded, tmp_path / "reference")
    data, held_out = Examples(encoded[:7], references), encoded[7:]
    schedule = {"learning_rate": 5e-3, "warmup": 2, "weight_decay": 0.1, "batch_size": 3, "steps": 8}
    training = Training(**schedule, dropout=True, validate_every=3, keep="best")
    arguments = (data, Clo(), training, runtime, FullSelector(), held_out)
    whole, facts = run_training(gpt2, tmp_path / "whole", *arguments)

    def kill(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == killed_at:
            raise Stop

    seen: list[int] = []
    with pytest.raises(Stop):
        run_training(gpt2, tmp_path / "parts", *arguments, emit=kill)
    torch.rand(5)
    resumed, again = run_training(
        gpt2, tmp_path / "parts", *arguments,
        emit=lambda event: seen.append(event.step) if isinstance(event, StepFinished) else None,
    )  # fmt: skip
    assert seen == list(range((killed_at - 1) // 2 * 2 + 1, 9))
    assert same(resumed, whole)
    assert again == facts
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_a_half_written_checkpoint_does_not_count(
    folder: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path
) -> None:
    data, training = Examples(encoded, None), Training(learning_rate=1e-3, batch_size=4, steps=6)
    whole, _ = run_training(folder, tmp_path / "whole", data, Sft(), training, runtime)

    def kill(event: Event) -> None:
        if isinstance(event, StepFinished) and event.step == 4:
            raise Stop

    with pytest.raises(Stop):
        run_training(folder, tmp_path / "parts", data, Sft(), training, runtime, emit=kill)
    scratch = tmp_path / "parts" / "scratch"
    assert [path.name for path in scratch.iterdir()] == ["step-00000002"]
    for name in ("writing", "step-00000004"):
        (scratch / name).mkdir()
        (scratch / name / "tensors.safetensors").write_bytes(b"half")
    resumed, _ = run_training(folder, tmp_path / "parts", data, Sft(), training, runtime)
    assert same(resumed, whole)
