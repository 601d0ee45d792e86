"""Evaluators, the evidence they get, and the scores they give."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from langxfer.components.component import Component
from langxfer.data import ParallelExample, View

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Score:
    """A number that never travels without the string that makes it reproducible.

    Attributes:
        name: for instance ``language_fidelity/de``.
        value: in the unit that ``unit`` names.
        standard_error: of ``value``, same unit; None where none is defined.
        n: number of items behind the value.
        signature: options and versions that decide the value.
        higher_is_better: None for a number that is neither good nor bad.
    """

    name: str
    value: float | None
    standard_error: float | None
    n: int
    signature: str
    unit: str = ""
    higher_is_better: bool | None = True


@dataclass(frozen=True)
class Prompt:
    """A prompt to be answered, with the language in which the answer is due."""

    id: str
    text: str
    language: str


@dataclass(frozen=True)
class Sampling:
    """How answers are generated; ``temperature`` 0 is greedy. Noise depends on (seed, prompt id) alone."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Generation:
    """An answer; ``finished`` when it ended by itself and not at ``max_new_tokens``."""

    prompt: Prompt
    text: str
    tokens: int
    finished: bool


@dataclass(frozen=True)
class ResponseScore:
    """Log-probability of one response of one view, in nats over ``tokens``; ``bytes`` is its UTF-8 length."""

    total: float
    tokens: int
    bytes: int


@dataclass(frozen=True)
class Evidence:
    """What the engine computed for an evaluator: answers, and scores by example id and view."""

    examples: Sequence[ParallelExample]
    generations: Sequence[Generation]
    responses: Mapping[str, Mapping[View, ResponseScore]]


@dataclass(frozen=True)
class Evaluation:
    """An evaluator's scores, and one row per item behind them."""

    scores: Sequence[Score]
    rows: Sequence[Mapping[str, Any]]


class Evaluator(Component):
    """Measures a model on the validation examples or on prompts of its own."""

    kind: ClassVar[str] = "evaluator"

    def prompts(self, examples: Sequence[ParallelExample]) -> Iterable[Prompt]:
        """The prompts that it wants answered (none by default)."""
        return ()

    def sampling(self) -> Sampling:
        """How its prompts are answered."""
        return Sampling(max_new_tokens=128)

    def scored_views(self) -> frozenset[View]:
        """The views of the validation examples that it wants scored (none by default)."""
        return frozenset()

    @abstractmethod
    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Turn the evidence into scores and rows."""
