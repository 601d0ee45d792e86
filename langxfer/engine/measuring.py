"""Ties the accounting to a run: the model in memory, the micro-batches as they are made, and the machine's matmul."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from langxfer.components import Objective
from langxfer.engine import accounting, matmul
from langxfer.engine.accounting import Meter, Uncounted
from langxfer.engine.budget import tokens_per_micro_batch
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.model_size import read_config
from langxfer.engine.objectives import scored_views
from langxfer.engine.runtime import Runtime
from langxfer.engine.tokens import Row
from langxfer.recipe import Recipe


@dataclass
class Measuring:
    """One per run, so that the matmul is measured once."""

    recipe: Recipe
    runtime: Runtime
    model_folder: Path
    _rate: float | None = field(default=None, init=False)

    def meter(
        self, scorer: Scorer, trained: Iterable[str], objective: Objective, examples: Sequence[Encoded]
    ) -> Meter | Uncounted:
        """A meter for what ``scorer`` computes: with parameters to train, of all processes' shares of a batch.

        Without any it is for scoring all views that the objective needs, those of its statistics too.
        """
        compute, trained = self.recipe.compute, frozenset(trained)
        world = self.runtime.world if trained else 1
        views = sorted(objective.views) if trained else scored_views(objective)
        separate = objective.directions_separate or not trained
        budget = tokens_per_micro_batch(compute, scorer.model)

        def micro_batches(batch: Sequence[Encoded]) -> Iterator[list[Row]]:
            for rank in range(world):
                own = [batch[i] for i in range(rank, len(batch), world)]
                for units in scorer.micro_batches(own, views, budget, separate):
                    rows = [row for unit in units for row in unit.rows]
                    yield [(len(row.prompt), tuple(len(branch.ids) for branch in row.branches)) for row in rows]

        shapes = {name: tuple(value.shape) for name, value in scorer.model.named_parameters()}
        config, recompute = read_config(self.model_folder), compute.activation_checkpointing
        statistic_views = objective.statistic_views if trained else ()
        return accounting.meter(
            shapes, config, trained, views, examples, scorer.layout, recompute, micro_batches, statistic_views
        )

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
