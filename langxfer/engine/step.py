"""What a training step does with a global batch: log-probabilities, terms, gradients.

The gradient is that of the whole global batch, whatever the micro-batches and processes: denominators of all terms are
known before the first backward pass (they depend on token counts alone). A micro-batch holds rows of some examples,
or of one language of their prompts; nothing of it is kept but its log-probabilities and what it adds to gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from langxfer.components import Objective, Terms
from langxfer.data import AnyView, View
from langxfer.engine import head
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer, token_counts
from langxfer.engine.objectives import loss_of
from langxfer.engine.runtime import Runtime
from langxfer.engine.statistics import batch_statistics, refuse_not_finite
from langxfer.engine.terms import problem_of
from langxfer.errors import PluginError
from langxfer.logps import LogProbs

References = Mapping[str, Mapping[AnyView, Tensor]]  # example id -> view -> [tokens], nats


@dataclass(frozen=True)
class Examples:
    """Encoded examples with their reference log-probabilities, if the objective needs any."""

    encoded: Sequence[Encoded]
    references: References | None

    def select(self, numbers: Sequence[int]) -> Examples:
        return Examples([self.encoded[i] for i in numbers], self.references)

    def reference(self, views: Sequence[AnyView], device: torch.device | str) -> LogProbs | None:
        """Reference totals ``[B]`` by view, summed as the policy's are."""
        if self.references is None:
            return None
        sums = {view: [self.references[e.id][view].to(device).sum() for e in self.encoded] for view in views}
        total = {view: torch.stack(own) if own else torch.zeros(0, device=device) for view, own in sums.items()}
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

    def __post_init__(self) -> None:
        self.scorer.keep_at_most(self.budget)  # one row may be longer, but should not take more memory for it

    @property
    def views(self) -> list[View]:
        return sorted(self.objective.views)

    def weights(
        self, examples: Examples, statistics: Mapping[str, float]
    ) -> tuple[dict[str, tuple[float, float]], list[str]]:
        """Coefficient and global denominator of every term, from token counts alone; and the metrics' names.

        Raises:
            PluginError: the objective's terms cannot be used, which is known before anything is learned from them.
        """
        tokens = token_counts(examples.encoded, self.views)
        blank = LogProbs({view: torch.zeros(len(examples.encoded)) for view in self.views}, tokens)
        terms = loss_of(self.objective, blank, blank if self.objective.needs_reference else None, statistics)
        problem = problem_of(terms, statistics, len(examples.encoded))
        if problem:
            raise PluginError(f'objective "{self.objective.name}": {problem}')
        weights = {name: (t.coefficient, t.denominator.double().sum().item()) for name, t in terms.parts.items()}
        return weights, list(terms.metrics)

    def run(self, examples: Examples, *, learn: bool) -> dict[str, float]:
        """Loss, terms, metrics and statistics of a global batch; with ``learn``, gradients are left in the parameters.

        Raises:
            NotFinite: a term is not finite; names the examples.
            PluginError: the objective's terms cannot be used.
        """
        own = examples.select(range(self.runtime.rank, len(examples.encoded), self.runtime.world))
        with _mode(self.scorer.model, learn=False):
            statistics = batch_statistics(self.scorer, self.objective, own, self.runtime, self.budget)
        weights, metric_names = self.weights(examples, statistics)
        reference = own.reference(self.views, self.scorer.device)
        found = self._stand_ins(own, reference)

        def loss(policy: LogProbs) -> Terms:
            return loss_of(self.objective, policy, reference, statistics)

        separate = self.objective.directions_separate
        with _mode(self.scorer.model, learn):
            for units in self.scorer.micro_batches(own.encoded, self.views, self.budget, separate):
                live = [(view, number, scores.sum()) for number, view, scores in self.scorer.score(units)]
                refuse_not_finite([own.encoded[number].id for _, number, _ in live], [x for *_, x in live], "log p")
                if learn:
                    _learn(self.objective.name, loss, live, found, weights)
                for view, number, total in live:
                    found.total[view][number] = total.detach()
                del live, total  # with their graph, before the next micro-batch makes its own
        sums = Sums()
        if own.encoded:
            terms = loss(found)
            for name, term in terms.parts.items():
                refuse_not_finite([e.id for e in own.encoded], term.numerator, name)
            sums.add(terms, len(own.encoded))
        return sums.share(self.runtime, weights, metric_names) | statistics

    def _stand_ins(self, own: Examples, reference: LogProbs | None) -> LogProbs:
        """Finite numbers for log-probabilities that are not computed yet: the reference's, or a nat a token."""
        tokens = token_counts(own.encoded, self.views, self.scorer.device)
        known = reference.total if reference is not None else {view: -count for view, count in tokens.items()}
        kind = head.precise(self.scorer.head.weight.dtype)
        return LogProbs({view: known[view].to(kind, copy=True) for view in self.views}, tokens)


def _learn(
    objective: str,
    loss: Callable[[LogProbs], Terms],
    live: Sequence[tuple[View, int, Tensor]],
    found: LogProbs,
    weights: Mapping[str, tuple[float, float]],
) -> None:
    """Gradients of the loss with respect to a micro-batch's log-probabilities alone; the graph ends here.

    What is not live may be any number: the loss is a sum over examples, and over languages of the prompt where the
    objective says so, hence its other parts are constants.

    Raises:
        PluginError: no part of it depends on what is live.
    """
    total = dict(found.total)
    for view in {view for view, _, _ in live}:
        places = [number for own, number, _ in live if own == view]
        values = torch.stack([value for own, _, value in live if own == view])
        total[view] = total[view].index_put((torch.tensor(places, device=values.device),), values)
    terms = loss(LogProbs(total, found.tokens))
    scaled = [weights[name][0] / weights[name][1] * term.numerator.sum() for name, term in terms.parts.items()]
    gradients = torch.stack(scaled).sum()
    if not gradients.requires_grad:
        views = ", ".join(sorted({view.value for view, _, _ in live}))
        raise PluginError(
            f'objective "{objective}": no term has a gradient with respect to the log-probabilities of {views}. '
            "Compute terms from policy.total without detach, item or numpy, and declare no views that they do not use."
        )
    gradients.backward()
