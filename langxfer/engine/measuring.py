"""Ties the accounting to a run: the model in memory, the micro-batches as they are made, and the machine's matmul."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from langxfer.data import View
from langxfer.engine import accounting, matmul
from langxfer.engine.accounting import Meter, Uncounted
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.model_size import read_config
from langxfer.engine.runtime import Runtime
from langxfer.recipe import Recipe


@dataclass
class Measuring:
    """One per run, so that the matmul is measured once."""

    recipe: Recipe
    runtime: Runtime
    model_folder: Path
    _rate: float | None = field(default=None, init=False)

    def meter(
        self, scorer: Scorer, trained: Iterable[str], views: Sequence[View], examples: Sequence[Encoded]
    ) -> Meter | Uncounted:
        """A meter for what ``scorer`` computes: with parameters to train, of all processes' shares of a batch."""
        compute, trained = self.recipe.compute, frozenset(trained)
        world = self.runtime.world if trained else 1

        def micro_batches(batch: Sequence[Encoded]) -> Iterator[list[int]]:
            for rank in range(world):
                own = range(rank, len(batch), world)
                for group in scorer.micro_batches([batch[i] for i in own], views, compute.tokens_per_micro_batch):
                    yield [own[i] for i in group]

        shapes = {name: tuple(value.shape) for name, value in scorer.model.named_parameters()}
        config, recompute = read_config(self.model_folder), compute.activation_checkpointing
        return accounting.meter(shapes, config, trained, views, examples, scorer.layout, recompute, micro_batches)

    def matmul_rate(self, meter: Meter | Uncounted) -> float | None:
        """FLOP/s of a plain matrix product, all processes together; None where nothing is counted.

        All processes call it at once, so that each measures what the others leave to it.
        """
        if isinstance(meter, Uncounted):
            return None
        if self._rate is None:
            self.runtime.barrier()
            own = matmul.measure(self.runtime.device, self.recipe.model.dtype, meter.size.largest)
            total = torch.tensor([own], dtype=torch.float64, device=self.runtime.device)
            self.runtime.sum_([total])
            self._rate = total.item()
            if self.runtime.main:
                matmul.Setting.of(self.recipe, meter.size.largest, self.runtime.world).remember(self._rate)
        return self._rate
