"""SimPO on the four views: a reference-free preference objective with length-normalised rewards."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from langxfer import LogProbs, Objective, Term, Terms, View, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Simpo(Objective):
    """``-log sigmoid(beta * (mean logp(chosen) - mean logp(rejected)) - gamma)`` (SimPO, arXiv 2405.14734, equation 6).

    Each example gives two independent pairs, one for each language of the prompt; the answer in the
    prompt's language is chosen. The loss is the mean over pairs, in nats.
    """

    name: Literal["simpo"] = "simpo"
    beta: float = Field(2.0, gt=0, description="Scale of the mean log-probability of a token.")
    gamma: float = Field(1.0, ge=0, description="Margin by which the chosen answer must win.")
    views: ClassVar[frozenset[View]] = frozenset(View)
    directions_separate: ClassVar[bool] = True  # a pair for each language of the prompt: one at a time fits in memory

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Terms:
        from torch.nn.functional import logsigmoid

        def pair(chosen: View, rejected: View) -> Tensor:
            return -logsigmoid(self.beta * (policy.mean(chosen) - policy.mean(rejected)) - self.gamma)

        numerator = pair(View.SS, View.ST) + pair(View.TT, View.TS)
        return Terms({"preference": Term(1.0, numerator, numerator.new_full(numerator.shape, 2.0))})


@hookimpl
def register_objectives() -> list[type[Objective]]:
    return [Simpo]
