"""Which examples make up which step: a pure function of (seed, epoch, step), so that resuming is exact."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langxfer.recipe import Training


def order(examples: int, seed: int, epoch: int) -> list[int]:
    """The order of examples in an epoch."""
    numbers = list(range(examples))
    random.Random(f"langxfer order {seed} {epoch}").shuffle(numbers)
    return numbers


def steps_in_total(training: Training, examples: int) -> int:
    """Optimizer steps of a phase; the last batch of an epoch may be smaller."""
    if training.steps is not None:
        return training.steps
    return max(1, math.ceil(training.epochs * steps_per_epoch(training, examples) - 1e-9))


def steps_per_epoch(training: Training, examples: int) -> int:
    return math.ceil(examples / training.batch_size)


def batch(training: Training, examples: int, step: int) -> Sequence[int]:
    """Numbers of the examples of optimizer step ``step`` (from 0), over all processes."""
    epoch, within = divmod(step, steps_per_epoch(training, examples))
    return order(examples, training.seed, epoch)[within * training.batch_size : (within + 1) * training.batch_size]


def all_batches(training: Training, examples: int) -> Iterator[Sequence[int]]:
    """``batch`` of every step, in order; the order of an epoch is drawn once."""
    left = steps_in_total(training, examples)
    for epoch in range(math.ceil(left / steps_per_epoch(training, examples))):
        numbers = order(examples, training.seed, epoch)
        for step in range(min(left, steps_per_epoch(training, examples))):
            yield numbers[step * training.batch_size : (step + 1) * training.batch_size]
        left -= steps_per_epoch(training, examples)


def validations_in_total(training: Training, examples: int) -> int:
    """Passes over the validation examples: every ``validate_every`` steps, and at the end."""
    steps = steps_in_total(training, examples)
    return math.ceil(steps / training.validate_every) if training.validate_every else 1


def only_warms_up(training: Training, steps: int) -> str | None:
    """What is wrong with a warm-up that lasts as long as the phase; None for a shorter one."""
    if steps == 1 or _warmup(training, steps) < steps:
        return None
    what = "of the steps" if training.warmup < 1 else "steps"
    return (
        f"warmup is {training.warmup:g} {what} and the phase has {steps}, so the learning rate only rises. Shorten it, "
        "or give a share of the steps (below 1)"
    )


def _warmup(training: Training, steps: int) -> int:
    """Steps of it."""
    return round(training.warmup * steps) if training.warmup < 1 else min(int(training.warmup), steps)


def learning_rate(training: Training, step: int, steps: int) -> float:
    """Learning rate of step ``step`` (from 0) of ``steps``.

    Linear warm-up, then from the peak down to ``min_learning_rate``, which the last step has exactly
    (a single step after the warm-up has the peak).
    """
    warmup = _warmup(training, steps)
    if step < warmup:
        return training.learning_rate * (step + 1) / warmup
    if training.schedule == "constant" or steps - warmup <= 1:
        return training.learning_rate
    done = (step - warmup) / (steps - warmup - 1)
    share = 0.5 * (1 + math.cos(math.pi * done)) if training.schedule == "cosine" else 1 - done
    return training.min_learning_rate + (training.learning_rate - training.min_learning_rate) * share
