"""Direct preference optimisation, IPO and SLiC on the four views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from langxfer.builtin.objectives.pairs import ReferencedPairs, margins, mean_over_pairs, reward_metrics
from langxfer.components import Terms

if TYPE_CHECKING:
    from langxfer.logps import LogProbs


class Dpo(ReferencedPairs):
    """Direct preference optimisation on independent pairs (arXiv 2305.18290, equation 7).

    An example gives two pairs, one for each language of the prompt; the answer in the language of
    the prompt is chosen. The loss is the mean over pairs: ln 2 before the first step. ``preference: ipo``
    is IPO (arXiv 2310.12036), whose authors average log-ratios over tokens (``ratio_reduction: token_mean``);
    ``preference: hinge`` is SLiC's loss (arXiv 2305.10425) on log-ratios.
    """

    name: Literal["dpo"] = "dpo"

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        """One term, ``preference``, in nats per pair for ``sigmoid``; metrics as in ``Clo.loss``, ``[B]``."""
        assert reference is not None
        ratios = self.log_ratios(policy, reference)
        source, target = map(self.pair_loss(), margins(ratios))
        return Terms({"preference": mean_over_pairs(1.0, source, target)}, reward_metrics(ratios, self.beta))
