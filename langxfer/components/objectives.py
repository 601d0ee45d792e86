"""Objectives: log-probabilities in, terms of a loss out. torch is imported inside methods only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from langxfer.components.component import Component
from langxfer.data import MismatchedView, View

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.logps import LogProbs


@dataclass(frozen=True)
class Term:
    """One named part of a loss: ``coefficient * sum(numerator) / sum(denominator)``.

    The trainer sums numerators and denominators over the GLOBAL batch before it divides, so that
    neither gradient accumulation nor micro-batches nor the number of processes change the result.

    Attributes:
        coefficient: weight of the part in the loss, a finite Python number.
        numerator: ``[B]``, differentiable; nats for a likelihood.
        denominator: ``[B]``, may depend on token counts alone, never on log-probabilities; its sum is above 0.
    """

    coefficient: float
    numerator: Tensor
    denominator: Tensor


@dataclass(frozen=True)
class Terms:
    """What an objective returns: named terms of the loss, and metrics ``[B]`` worth plotting.

    All are logged under their names, and an objective's statistics with them. So no name occurs twice among them, none
    begins with ``validation/``, and none is one that rows of ``metrics.jsonl`` have anyway: ``loss`` (the sum of all
    terms), ``step``, ``phase``, ``grad_norm``, ``learning_rate``, ``response_tokens``, ``tokens``, ``flops`` and
    ``seconds``. The trainer refuses such names, and anything that is not of the shapes given here, before it learns.

    Attributes:
        parts: the terms, one at least.
        metrics: ``[B]`` each; their means are logged.
    """

    parts: Mapping[str, Term]
    metrics: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """A statistic of the batch: ``sum(numerator) / sum(denominator)`` over the GLOBAL batch, a plain number.

    Attributes:
        numerator: ``[B]``.
        denominator: ``[B]``, may depend on token counts alone; its sum is above 0.
    """

    numerator: Tensor
    denominator: Tensor


class Objective(Component):
    """A training objective: log-probabilities in, terms of a loss out.

    It sees no logits, model, tokenizer, device or rank. ``views`` are the only ones computed.

    An objective that needs a statistic of the whole batch, such as KTO's KL, names ``statistic_views`` and
    computes it in ``statistics``. Before every loss the trainer does so for the global batch, without gradient
    and without dropout, and calls ``loss(policy, reference, statistics)``, where ``statistics`` maps names to
    numbers. Such an objective gives ``loss`` that third parameter.

    Attributes:
        needs_reference: whether ``loss`` and ``statistics`` read the reference.
        directions_separate: a promise that every term, given the statistics, is a sum of a part that reads
            views with source prompts (SS, ST) and a part that reads views with target prompts (TS, TT). The
            trainer may then work on one direction at a time.
    """

    kind: ClassVar[str] = "objective"
    needs_reference: ClassVar[bool] = False
    directions_separate: ClassVar[bool] = False

    @property
    @abstractmethod
    def views(self) -> frozenset[View]:
        """The views that ``loss`` reads. A class attribute will do where options do not decide."""

    @abstractmethod
    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """``reference`` is None exactly when ``needs_reference`` is False; it has no gradient."""

    @property
    def statistic_views(self) -> frozenset[MismatchedView]:
        """The views that ``statistics`` reads (none by default). A class attribute will do."""
        return frozenset()

    def statistics(self, policy: LogProbs, reference: LogProbs | None) -> Mapping[str, Ratio]:
        """Statistics of the batch by name, from ``statistic_views``; called only where these are not empty.

        They are logged under their names, for which holds what ``Terms`` says.
        """
        return {}
