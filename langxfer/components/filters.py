"""Filters: which examples stay."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from langxfer.components.component import Component
from langxfer.data import ParallelExample

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Drop:
    """Why a filter drops an example: a short reason, and the number that decided."""

    reason: str
    measure: float


OpenFilter = Callable[[Sequence[ParallelExample]], Sequence[Drop | None]]


class Filter(Component):
    """Judges a whole example: it stays or goes in all four views."""

    kind: ClassVar[str] = "filter"

    @abstractmethod
    def judge(self, example: ParallelExample) -> Drop | None:
        """None keeps the example."""

    def open(self, device: str, cache: Path) -> AbstractContextManager[OpenFilter]:
        """What judges many examples at a time: a verdict for each, in order. By default ``judge``, one by one.

        A filter with a model (quality estimation, similarity of embeddings) loads it here, onto ``device`` (``cpu`` or
        ``cuda``), scores in batches of its own, and frees it at the end. ``cache`` is a folder for what it converts.
        """
        return nullcontext(lambda examples: [self.judge(example) for example in examples])
