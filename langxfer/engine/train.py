"""The training loop: one phase, from a model and its data to trained weights.

The gradient of a step is that of the whole global batch (see ``step``), and gradients of processes are summed
once. Batch order, learning rate and dropout noise are pure functions of (seed, step), so a resumed run gives the
same weights, bit for bit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from langxfer.engine import batches, checkpoints
from langxfer.engine.statistics import NotFinite
from langxfer.engine.step import Examples, Step
from langxfer.events import Event, StepFinished, Validated
from langxfer.recipe import Compute, Training


def parameter_groups(parameters: Mapping[str, nn.Parameter], training: Training) -> list[dict[str, Any]]:
    """Matrices decay, vectors (norms, biases) do not."""
    decayed = [value for value in parameters.values() if value.ndim > 1]
    others = [value for value in parameters.values() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": training.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def optimizer_of(
    parameters: Mapping[str, nn.Parameter], training: Training, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW. On a GPU in one kernel, where it can: PyTorch's default there copies all parameters at every step."""
    alike = all(value.is_contiguous() for value in parameters.values())  # as their gradients are
    return torch.optim.AdamW(
        parameter_groups(parameters, training),
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.epsilon,
        fused=True if device.type == "cuda" and alike else None,
    )


def room_for_gradients(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Gradients of all parameters as parts of one flat tensor, zero.

    They are there before the first forward pass, so they do not split the memory that activations leave; ranks sum
    them at once, and a rank without examples has its zeros.
    """
    flat = torch.zeros(sum(value.numel() for value in parameters), device=parameters[0].device)
    for value, part in zip(parameters, flat.split([value.numel() for value in parameters]), strict=True):
        value.grad = part.view_as(value)
    return flat


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
    optimizer = optimizer_of(parameters, training, runtime.device)
    gradients = [room_for_gradients(list(parameters.values()))]
    state = checkpoints.load(folder, parameters, optimizer)
    with _log(folder / "metrics.jsonl", state.log_bytes, runtime.main) as log:
        for number in range(state.step, steps):
            began = time.monotonic()
            if step.scorer.model.training:  # dropout of the model or of an adapter
                torch.manual_seed(hash((training.seed, number, runtime.rank)))  # of integers: the same everywhere
            chosen = data.select(batches.batch(training, len(data.encoded), number))
            metrics = step.run(chosen, learn=True)
            runtime.sum_(gradients)
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), training.max_grad_norm or float("inf")).item()
            if not norm < float("inf"):
                ids = ", ".join(example.id for example in chosen.encoded)
                raise NotFinite(f"the gradient of step {number + 1} is not finite; its examples are {ids}")
            rate = batches.learning_rate(training, number, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)
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
