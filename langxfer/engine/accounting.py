"""What a phase computes: tokens and FLOPs by pass and part, from the data and the model's shapes. No torch.

Everything follows from (data, recipe, model), not from what a process happened to do, so that ``plan`` knows it
before the run, and a resumed run counts each of its steps once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.data import AnyView, read_jsonl
from langxfer.engine import batches
from langxfer.engine.flops import Account, Rates, account, rates_of
from langxfer.engine.model_size import ModelSize, Shapes, Uncountable, model_size
from langxfer.engine.tokens import Layout, Row, Tokens, count, longest, repeated, rows_of

if TYPE_CHECKING:
    from langxfer.engine.encode import Encoded
    from langxfer.recipe import Training

MicroBatches = Callable[["Sequence[Encoded]"], Iterable[Sequence[Row]]]


@dataclass(frozen=True)
class Meter:
    """Counts passes over examples.

    Attributes:
        size: the model's.
        trained: names of the parameters with gradients; none for scoring alone.
        views: what is scored.
        layout: as the scorer has it.
        recompute: activation checkpointing.
        micro_batches: the rows of each micro-batch, which decide the padding of ``padded``; without it, padding is
            not counted.
        statistic_views: what is scored once more, without gradient, before each loss.
    """

    size: ModelSize
    trained: frozenset[str]
    views: tuple[AnyView, ...]
    layout: Layout
    recompute: bool = False
    micro_batches: MicroBatches | None = None
    statistic_views: tuple[AnyView, ...] = ()

    @cached_property
    def _learning(self) -> Rates:
        return rates_of(self.size, self.trained, recompute=self.recompute)

    @cached_property
    def _scoring(self) -> Rates:
        return rates_of(self.size, frozenset())

    def tokens(self, examples: Sequence[Encoded]) -> Tokens:
        """What one pass over the examples computes."""
        groups = self.micro_batches(examples) if self.micro_batches and self.layout == "padded" else None
        return count(examples, self.views, self.layout, groups)

    def learning(self, tokens: Tokens) -> Account:
        """Forward and backward."""
        return account(tokens, self._learning)

    def scoring(self, tokens: Tokens) -> Account:
        """Forward only."""
        return account(tokens, self._scoring)

    def step(self, examples: Sequence[Encoded]) -> dict[str, int]:
        """What one optimizer step computes, for its row in ``metrics.jsonl``."""
        own = self.learning(self.tokens(examples)) + self.scoring(self.statistics(examples))
        return {"tokens": own.tokens, "flops": own.flops}

    def statistics(self, examples: Sequence[Encoded]) -> Tokens:
        """What a statistic of a batch computes; nothing for objectives without any. Padding is not counted."""
        return count(examples, self.statistic_views, self.layout)

    def phase(self, training: Training, train: Sequence[Encoded], validation: Sequence[Encoded]) -> dict[str, Account]:
        """The passes of a whole training stage: all steps, every validation, and the statistics of both, if any."""
        times = batches.validations_in_total(training, len(train))
        passes = {
            "training": self.learning(self._steps(training, train, self.tokens)),
            "validation": self.scoring(self.tokens(validation) * times),
        }
        if self.statistic_views:
            steps = self._steps(training, train, self.statistics)
            passes["statistics"] = self.scoring(steps + self.statistics(validation) * times)
        return passes

    def _steps(
        self, training: Training, train: Sequence[Encoded], tokens: Callable[[Sequence[Encoded]], Tokens]
    ) -> Tokens:
        every = batches.all_batches(training, len(train))
        if self.layout == "padded":  # the padding of an example depends on its company
            return sum((tokens([train[i] for i in numbers]) for numbers in every), Tokens())
        return tokens([train[number] for numbers in every for number in numbers])


@dataclass(frozen=True)
class Uncounted:
    """In place of a meter, for a model whose FLOPs cannot be known; says why."""

    reason: str

    def step(self, examples: Sequence[Encoded]) -> dict[str, int]:
        return {}


def meter(
    shapes: Shapes,
    config: Mapping[str, Any],
    trained: Iterable[str],
    views: Iterable[AnyView],
    examples: Sequence[Encoded],
    layout: Layout,
    recompute: bool = False,
    micro_batches: MicroBatches | None = None,
    statistic_views: Iterable[AnyView] = (),
    max_length: int | None = None,
) -> Meter | Uncounted:
    """A meter for a model of these parameter shapes and this ``config.json``; ``examples`` are all it will count.

    A model whose rows cannot be packed (ALiBi, a sliding window under ``max_length``) is counted as ``padded``.
    """
    views = tuple(sorted(views))
    try:
        size = model_size(shapes, config)
    except Uncountable as error:
        return Uncounted(str(error))
    slides = size.window is not None and max_length is not None and max_length > size.window
    layout = "padded" if slides or not size.packs else layout
    if size.window is not None:
        found = max((longest(rows_of(example, views, "flat")) for example, _ in repeated(examples)), default=0)
        if found > size.window:
            return Uncounted(f"a row of {found} tokens is longer than its sliding window of {size.window}")
    statistic_views = tuple(sorted(statistic_views))
    return Meter(size, frozenset(trained), views, layout, recompute, micro_batches, statistic_views)


# ---------------------------------------------------------------- what a manifest keeps


def train_facts(
    own: Meter | Uncounted,
    training: Training,
    train: Sequence[Encoded],
    validation: Sequence[Encoded],
    metrics: Path,
    matmul: float | None,
) -> dict[str, Any]:
    """Facts of a training stage; ``metrics`` is its ``metrics.jsonl``, which has the seconds of every step.

    The rate is that of the optimizer steps; validation is counted, but is no part of it.
    """
    if isinstance(own, Uncounted):
        return {"uncounted": own.reason}
    passes = own.phase(training, train, validation)
    seconds = sum(row["seconds"] for row in read_jsonl(metrics) if "seconds" in row)
    return _passes(passes) | speed(passes["training"].flops, seconds, matmul)


def reference_facts(
    own: Meter | Uncounted,
    parts: Iterable[Sequence[Encoded]],
    done: Sequence[int],
    seconds: float,
    matmul: float | None,
) -> dict[str, Any]:
    """Facts of a reference stage, made part by part.

    ``done`` are the numbers of the parts that this process made, in ``seconds``: their rate stands for all.
    """
    if isinstance(own, Uncounted):
        return {"uncounted": own.reason}
    tokens = [own.tokens(part) for part in parts]
    here = own.scoring(sum((tokens[number] for number in done), Tokens()))
    return _passes({"reference": own.scoring(sum(tokens, Tokens()))}) | speed(here.flops, seconds, matmul)


def _passes(passes: Mapping[str, Account]) -> dict[str, Any]:
    return {
        "passes": {name: asdict(own) for name, own in passes.items()},
        "flops": sum(own.flops for own in passes.values()),
    }


def speed(flops: int, seconds: float, matmul: float | None) -> dict[str, Any]:
    """FLOP/s reached, and their share of the machine's matmul; empty when nothing was timed."""
    if not seconds:
        return {}
    found = {"timed_flops": flops, "timed_seconds": seconds, "flops_per_second": flops / seconds}
    return found | ({"matmul_flops_per_second": matmul, "matmul_share": flops / seconds / matmul} if matmul else {})
