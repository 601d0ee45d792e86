"""The training loop: one phase, from a model and its data to trained weights.

The gradient of a step is that of the whole global batch, whatever the micro-batches and processes:
denominators of all terms are known before the first backward pass (they depend on token counts
alone), and gradients of processes are summed once. Batch order, learning rate and dropout noise are
pure functions of (seed, step), so a resumed run gives the same weights, bit for bit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from langxfer.components import Objective, Terms
from langxfer.data import View
from langxfer.engine import batches, checkpoints
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer, token_counts
from langxfer.engine.runtime import Runtime
from langxfer.events import Event, StepFinished, Validated
from langxfer.logps import LogProbs
from langxfer.recipe import Compute, Training

References = Mapping[str, Mapping[View, Tensor]]  # example id -> view -> [tokens], nats


class NotFinite(Exception):
    """A loss or a gradient is not a number; the text names the step and the examples."""


@dataclass(frozen=True)
class Examples:
    """Encoded examples with their reference log-probabilities, if the objective needs any."""

    encoded: Sequence[Encoded]
    references: References | None

    def select(self, numbers: Sequence[int]) -> Examples:
        return Examples([self.encoded[i] for i in numbers], self.references)

    def reference(self, views: Sequence[View], device: torch.device | str) -> LogProbs | None:
        """Reference totals ``[B]`` by view, summed as the policy's are."""
        if self.references is None:
            return None
        total = {
            view: torch.stack([self.references[e.id][view].to(device).sum() for e in self.encoded]) for view in views
        }
        return LogProbs(total, token_counts(self.encoded, views, device))


@dataclass
class Sums:
    """What micro-batches add up to: numerators of terms, sums of metrics (global after ``share``)."""

    numerators: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    examples: int = 0

    def add(self, terms: Terms, examples: int) -> None:
        for name, term in terms.parts.items():
            self.numerators[name] = self.numerators.get(name, 0.0) + term.numerator.detach().double().sum().item()
        for name, values in terms.metrics.items():
            self.metrics[name] = self.metrics.get(name, 0.0) + values.detach().double().sum().item()
        self.examples += examples

    def share(
        self, runtime: Runtime, weights: Mapping[str, tuple[float, float]], metric_names: Sequence[str]
    ) -> dict[str, float]:
        """The global loss, its terms and mean metrics, summed over processes. ``weights``: coefficient, denominator."""
        flat = [self.numerators.get(name, 0.0) for name in weights] + [self.metrics.get(n, 0.0) for n in metric_names]
        vector = torch.tensor([*flat, float(self.examples)], dtype=torch.float64, device=runtime.device)
        runtime.sum_([vector])
        *values, examples = vector.tolist()
        parts = {name: value / weights[name][1] for name, value in zip(weights, values, strict=False)}
        loss = sum(weights[name][0] * value for name, value in parts.items())
        means = {n: value / max(examples, 1.0) for n, value in zip(metric_names, values[len(weights) :], strict=True)}
        return {"loss": loss, **parts, **means}


@contextmanager
def _mode(network: nn.Module, learn: bool) -> Iterator[None]:
    """Gradients and dropout (where it is on at all) for learning alone, not for validation."""
    training = network.training
    network.train(training and learn)
    try:
        with torch.set_grad_enabled(learn):
            yield
    finally:
        network.train(training)


@dataclass(frozen=True)
class Step:
    """Everything that turns a global batch into gradients or into numbers."""

    scorer: Scorer
    objective: Objective
    runtime: Runtime
    budget: int
    count: Callable[[Sequence[Encoded]], Mapping[str, int]] = lambda examples: {}  # what a step computes, for its log

    @property
    def views(self) -> list[View]:
        return sorted(self.objective.views)

    def weights(self, examples: Examples) -> tuple[dict[str, tuple[float, float]], list[str]]:
        """Coefficient and global denominator of every term, from token counts alone; and the metrics' names."""
        tokens = token_counts(examples.encoded, self.views)
        blank = LogProbs({view: torch.zeros(len(examples.encoded)) for view in self.views}, tokens)
        terms = self.objective.loss(blank, blank if self.objective.needs_reference else None)
        weights = {name: (t.coefficient, t.denominator.double().sum().item()) for name, t in terms.parts.items()}
        return weights, list(terms.metrics)

    def run(self, examples: Examples, *, learn: bool) -> dict[str, float]:
        """Loss, terms and metrics of a global batch; with ``learn``, gradients are left in the parameters.

        Raises:
            NotFinite: a term is not finite; names the examples.
        """
        weights, metric_names = self.weights(examples)
        own = examples.select(range(self.runtime.rank, len(examples.encoded), self.runtime.world))
        sums = Sums()
        with _mode(self.scorer.model, learn):
            for group in self.scorer.micro_batches(own.encoded, self.views, self.budget):
                part = own.select(group)
                policy = self.scorer.log_probs(part.encoded, self.views)
                terms = self.objective.loss(policy, part.reference(self.views, self.scorer.device))
                self._check(terms, part)
                sums.add(terms, len(group))
                if learn:
                    scaled = [
                        weights[name][0] / weights[name][1] * term.numerator.sum() for name, term in terms.parts.items()
                    ]
                    torch.stack(scaled).sum().backward()
        return sums.share(self.runtime, weights, metric_names)

    def _check(self, terms: Terms, part: Examples) -> None:
        for name, term in terms.parts.items():
            bad = [e.id for e, fine in zip(part.encoded, term.numerator.isfinite().tolist(), strict=True) if not fine]
            if bad:
                raise NotFinite(f"{name} is not finite for the examples {', '.join(bad[:5])}")


def parameter_groups(parameters: Mapping[str, nn.Parameter], training: Training) -> list[dict[str, Any]]:
    """Matrices decay, vectors (norms, biases) do not."""
    decayed = [value for value in parameters.values() if value.ndim > 1]
    others = [value for value in parameters.values() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


@contextmanager
def _log(path: Path, length: int, main: bool) -> Iterator[Callable[[dict[str, Any]], int]]:
    """Append JSON lines after the first ``length`` bytes; a resumed run writes over what a killed one added."""
    if not main:
        yield lambda row: 0
        return
    with open(path, "a+b") as file:
        file.truncate(length)

        def write(row: dict[str, Any]) -> int:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            return file.tell()

        yield write


def train(
    step: Step,
    parameters: Mapping[str, nn.Parameter],
    training: Training,
    compute: Compute,
    data: Examples,
    validation: Examples,
    folder: Path,
    label: str,
    emit: Callable[[Event], None],
) -> dict[str, Any]:
    """Train ``parameters`` in place; the winning weights are in them at the end. Resumes from ``folder``.

    Writes ``metrics.jsonl`` (a row per step, a row per validation) and checkpoints into ``folder``.

    Returns:
        What the manifest keeps: steps, tokens, best validation loss and step.

    Raises:
        NotFinite: a loss or gradient is not finite. Nothing of that step is kept.
    """
    runtime = step.runtime
    steps = batches.steps_in_total(training, len(data.encoded))
    optimizer = torch.optim.AdamW(
        parameter_groups(parameters, training),
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
    )
    state = checkpoints.load(folder, parameters, optimizer)
    with _log(folder / "metrics.jsonl", state.log_bytes, runtime.main) as log:
        for number in range(state.step, steps):
            began = time.monotonic()
            if training.dropout:
                torch.manual_seed(hash((training.seed, number, runtime.rank)))  # of integers: the same everywhere
            chosen = data.select(batches.batch(training, len(data.encoded), number))
            metrics = step.run(chosen, learn=True)
            runtime.sum_([p.grad if p.grad is not None else _zero_grad(p) for p in parameters.values()])
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), training.max_grad_norm or float("inf")).item()
            if not norm < float("inf"):
                ids = ", ".join(example.id for example in chosen.encoded)
                raise NotFinite(f"the gradient of step {number + 1} is not finite; its examples are {ids}")
            rate = batches.learning_rate(training, number, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
            tokens = sum(len(ids) for e in chosen.encoded for v, ids in e.responses.items() if v in step.views)
            metrics |= {
                "grad_norm": norm,
                "learning_rate": rate,
                "response_tokens": tokens,
                **step.count(chosen.encoded),
            }
            metrics["seconds"] = time.monotonic() - began
            state.tokens += tokens
            state.step = number + 1
            state.log_bytes = log({"step": state.step, **metrics})
            emit(StepFinished(label, state.step, steps, metrics))
            last = state.step == steps
            if validation.encoded and (last or (training.validate_every and state.step % training.validate_every == 0)):
                found = step.run(validation, learn=False)
                best = found["loss"] < state.best_loss
                if best:
                    state.best_loss, state.best_step = found["loss"], state.step
                    if runtime.main and training.keep == "best":
                        checkpoints.save_best(folder, parameters)
                state.log_bytes = log({"step": state.step, **{f"validation/{k}": v for k, v in found.items()}})
                emit(Validated(label, state.step, found["loss"], best))
            if runtime.main and not last and state.step % compute.checkpoint_every == 0:
                checkpoints.save(folder, parameters, optimizer, state)
    runtime.barrier()
    if training.keep == "best":
        checkpoints.load_best(folder, parameters)
    best_facts = {"best_validation_loss": state.best_loss, "best_step": state.best_step} if state.best_step else {}
    return {"steps": steps, "response_tokens": state.tokens, **best_facts}


def _zero_grad(parameter: nn.Parameter) -> Tensor:
    """A rank without examples in a batch still takes part in the sum."""
    parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
