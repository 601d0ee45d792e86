"""Made-up log-probabilities for the checks of objectives, and mappings that notice what is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langxfer.testing.contracts import require

if TYPE_CHECKING:
    from torch import Tensor

    from langxfer.data import AnyView
    from langxfer.logps import LogProbs


def random_tokens(views: Sequence[AnyView], examples: int, generator: Any) -> dict[AnyView, Tensor]:
    """1 to 8 tokens by view, ``[B]`` float32."""
    import torch

    return {view: torch.randint(1, 9, (examples,), generator=generator).float() for view in views}


def random_log_probs(tokens: Mapping[AnyView, Tensor], scale: float, generator: Any) -> LogProbs:
    """0 to ``scale`` nats a token."""
    import torch

    from langxfer.logps import LogProbs

    return LogProbs({v: -scale * n * torch.rand(len(n), generator=generator) for v, n in tokens.items()}, tokens)


def some(values: LogProbs, rows: list[int]) -> LogProbs:
    """The examples ``rows``, in that order."""
    from langxfer.logps import LogProbs

    return LogProbs({v: x[rows] for v, x in values.total.items()}, {v: x[rows] for v, x in values.tokens.items()})


class Watched(Mapping[str, Any]):
    """A mapping that remembers what was read, and has a sentence for what it does not hold."""

    def __init__(self, values: Mapping[Any, Any], read: set[str], absent: str):
        self._values, self._read, self._absent = values, read, absent

    def __getitem__(self, name: str) -> Any:
        require(name in self._values, self._absent.format(name=str(name)))
        self._read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
