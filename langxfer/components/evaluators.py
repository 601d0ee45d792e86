"""Evaluators, the evidence they get, and the scores they give."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from langxfer.components.component import Component
from langxfer.data import ParallelExample, View


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
        interval: of 95 % confidence, same unit, where it says more than ``standard_error``.
    """

    name: str
    value: float | None
    standard_error: float | None
    n: int
    signature: str
    unit: str = ""
    higher_is_better: bool | None = True
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Prompt:
    """A prompt to be answered, with the language in which the answer is due.

    Attributes:
        text: of the user's turn; the model's template is put around it.
        system: text of a system turn before it; None for none.
        attempt: 0 for the first time that it is asked, then 1, 2, …: each attempt draws other samples.
        chat: whether ``text`` is a user's turn. Otherwise it is plain text, which the model goes on with, and white
            space at either end of the answer is kept.

    Raises:
        ValueError: plain text with a system turn.
    """

    id: str
    text: str
    language: str
    system: str | None = None
    attempt: int = 0
    chat: bool = True

    def __post_init__(self) -> None:
        if self.system is not None and not self.chat:
            raise ValueError(f"prompt {self.id}: plain text (chat=False) has no system turn")


@dataclass(frozen=True)
class Sampling:
    """How answers are generated; ``temperature`` 0 is greedy. Noise depends on (seed, prompt id, attempt) alone."""

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
    """Log-probability of one response of one view, in nats over ``tokens``.

    Attributes:
        bytes: UTF-8 length of the response's text.
        cut: whether its end was beyond ``data.max_length``, so that ``total`` is of its beginning alone and ``bytes``
            of all of it.
    """

    total: float
    tokens: int
    bytes: int
    cut: bool = False


@dataclass(frozen=True)
class Question:
    """A context with continuations whose likelihoods are wanted: multiple choice.

    Attributes:
        context: as the model reads it, BOS apart; questions with equal contexts share its computation.
        options: continuations, with the space before them where there is one; at least one, none empty.
        chat: whether ``context`` is a user's turn, which gets the model's template. Otherwise it is plain text.
    """

    id: str
    context: str
    options: tuple[str, ...]
    chat: bool = False


@dataclass(frozen=True)
class OptionScores:
    """Log-probabilities of a question's options, in nats summed over the tokens of each.

    Attributes:
        totals, tokens: by option.
        cut: tokens that the context lost on its left side, because the model's window is too short.
    """

    question: Question
    totals: tuple[float, ...]
    tokens: tuple[int, ...]
    cut: int = 0


@dataclass(frozen=True)
class Passage:
    """A plain text whose likelihood is wanted: every token of it, given those before it."""

    id: str
    text: str
    language: str


@dataclass(frozen=True)
class PassageScore:
    """Log-probability of a passage in nats over ``tokens``; ``bytes`` is the length of its text in UTF-8."""

    passage: Passage
    total: float
    tokens: int
    bytes: int


@dataclass(frozen=True)
class Workload:
    """About how much an evaluator asks of a model, for the estimates of a plan.

    Attributes:
        requests: prompts to be answered, or questions whose options are scored.
        characters: that a request has on average.
        max_new_tokens: of the longest answer; 0 where nothing is generated.
        attempts: at an answer at the most (``ask_again``). Estimates have the first one of each, and name the others.
    """

    requests: int
    characters: int
    max_new_tokens: int = 0
    attempts: int = 1


@dataclass(frozen=True)
class Evidence:
    """What the engine computed for an evaluator, each in the order in which it was asked for.

    Attributes:
        examples: validation examples.
        generations: answers to its prompts; those of further attempts follow in the order of the attempts.
        responses: scores of the examples' responses, by example id and view.
        questions: scores of its questions.
        passages: scores of its passages.
        device: ``cpu`` or ``cuda``, where a model of the evaluator's own (a judge) may be: the measured one is freed.
        cache: a folder for what may be kept from one evaluation to another (verdicts); None where nothing is kept.
        progress: told (done, total) of what the evaluator does itself.
    """

    examples: Sequence[ParallelExample]
    generations: Sequence[Generation]
    responses: Mapping[str, Mapping[View, ResponseScore]]
    questions: Sequence[OptionScores] = ()
    passages: Sequence[PassageScore] = ()
    device: str = "cpu"
    cache: Path | None = None
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class Evaluation:
    """An evaluator's scores, and one row per item behind them.

    Attributes:
        rows: one for each item, answered or not, with its ``id`` and, if it has one, ``language``; two models' rows
            of one item are paired in comparisons. ``scores`` says what the item adds to scores, by their names: a
            number of which the score is the mean (its share where the unit is "%": 0 to 1), or ``[numerator,
            denominator]`` of which it is the ratio of sums; an item that does not count leaves the name out. Scores
            without such rows are compared without a test. A plain number ``score`` is short for the score of the
            row's language whose mean it is.
        unfinished: why some items are missing (a judge that failed), to be said and tried again by the next run;
            None when all are there that another run could get.
        notes: sentences that must be read beside the scores: accuracy below chance, contexts that were cut.
    """

    scores: Sequence[Score]
    rows: Sequence[Mapping[str, Any]]
    unfinished: str | None = None
    notes: Sequence[str] = ()


def numbered(names: Iterable[str]) -> list[str]:
    """Names under which evaluators of a recipe have their results; the second of a name is ``NAME-2``."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = number = seen.get(name, 0) + 1
        found.append(name if number == 1 else f"{name}-{number}")
    return found


class Evaluator(Component):
    """Measures a model on the validation examples, or on prompts, questions and passages of its own.

    What it asks for must not depend on anything but its options, its files and the examples; it is asked more than
    once. Requests of all evaluators of a run are put together, and those that are equal are computed once.

    It is asked for the first time before anything is computed, so that files which are missing or wrong are found then.
    The examples are stand-ins: as many as are held out, in the right languages, with texts that mean nothing. What it
    lacks it says as a ``RecipeError`` or ``DataError`` with the option, the file, and what to do.
    """

    kind: ClassVar[str] = "evaluator"

    def prompts(self, examples: Sequence[ParallelExample]) -> Iterable[Prompt]:
        """The prompts that it wants answered (none by default)."""
        return ()

    def sampling(self) -> Sampling:
        """How its prompts are answered."""
        return Sampling(max_new_tokens=128)

    def ask_again(self, generations: Sequence[Generation]) -> Iterable[Prompt]:
        """Prompts to be answered once more, each with a higher ``attempt``, after seeing all answers so far.

        It is asked until it gives none (the default).
        """
        return ()

    def questions(self, examples: Sequence[ParallelExample]) -> Iterable[Question]:
        """The questions whose options it wants scored (none by default)."""
        return ()

    def passages(self, examples: Sequence[ParallelExample]) -> Iterable[Passage]:
        """The texts whose likelihood it wants (none by default)."""
        return ()

    def scored_views(self) -> frozenset[View]:
        """The views of the validation examples that it wants scored (none by default)."""
        return frozenset()

    def workload(self, prompts: Mapping[str, int]) -> Workload | None:
        """About how much it will ask for, without reading what a hub would have to send.

        Args:
            prompts: how many validation prompts there are, by language; all languages of the recipe are in it.

        Returns:
            None (the default) where that cannot be said; ``scored_views`` are counted apart.
        """
        return None

    @abstractmethod
    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Turn the evidence into scores and rows."""
