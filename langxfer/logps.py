"""Log-probabilities by view: all that an objective ever sees of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langxfer.data import AnyView

if TYPE_CHECKING:  # plugins import LogProbs at their top, and start-up must bring no torch
    from torch import Tensor


@dataclass(frozen=True)
class LogProbs:
    """Log-probabilities of responses given their prompts, by view.

    Attributes:
        total: view -> ``[B]`` float32, the sum of the response tokens' log-probabilities in nats.
        tokens: view -> ``[B]`` float32, how many response tokens were scored (EOS included).
    """

    total: Mapping[AnyView, Tensor]
    tokens: Mapping[AnyView, Tensor]

    def mean(self, view: AnyView) -> Tensor:
        """Nats per token, ``[B]``; an empty response counts as 0."""
        return self.total[view] / self.tokens[view].clamp(min=1)
