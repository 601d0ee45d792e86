"""Components: the words of the recipe language that plugins add.

A component IS a frozen pydantic model. Its fields are its options, its methods its behaviour.
There is no factory and no registry of callables. torch is imported inside methods only.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, InstanceOf, SerializeAsAny

from langxfer.data import MismatchedView, ParallelExample, View

if TYPE_CHECKING:
    from torch import Tensor, nn

    from langxfer.logps import LogProbs


class Component(BaseModel):
    """What every kind of component shares.

    A subclass narrows ``name`` to one Literal, with that literal as its default.
    ``results_version`` is raised when the same options begin to give other results.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    kind: ClassVar[str] = ""
    results_version: ClassVar[int] = 1
    name: str

    def what(self) -> dict[str, Any]:
        """Everything that decides the component's results, as JSON values: part of cache keys."""
        return {**self.model_dump(mode="json"), "results_version": self.results_version, **self.identity()}

    def identity(self) -> dict[str, Any]:
        """What decides results beside the options, as JSON values: file digests, library versions."""
        return {}

    def resolve(self, folder: Path) -> Component:
        """The component with relative paths taken from ``folder``, the recipe's own. No paths: itself."""
        return self


# ---------------------------------------------------------------- objectives


@dataclass(frozen=True)
class Term:
    """One named part of a loss: ``coefficient * sum(numerator) / sum(denominator)``.

    The trainer sums numerators and denominators over the GLOBAL batch before it divides, so that
    neither gradient accumulation nor micro-batches nor the number of processes change the result.

    Attributes:
        coefficient: weight of the part in the loss.
        numerator: ``[B]``, differentiable; nats for a likelihood.
        denominator: ``[B]``, may depend on token counts alone, never on log-probabilities.
    """

    coefficient: float
    numerator: Tensor
    denominator: Tensor


@dataclass(frozen=True)
class Terms:
    """What an objective returns: named terms of the loss, and metrics ``[B]`` worth plotting."""

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

        They are logged under their names, so no term or metric may be called the same.
        """
        return {}


# ---------------------------------------------------------------- selectors


class Selector(Component):
    """Which parameters are trained: some of the model's own, or some that are added to it."""

    kind: ClassVar[str] = "selector"

    @abstractmethod
    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> frozenset[str]:
        """Names of the parameters to train, out of all parameter names and shapes of a model (after ``adapt``).

        An empty answer is an error that the engine reports with the names it offered.

        Raises:
            RecipeError: an option names something that the model does not have.
        """

    def advice(self, languages: Sequence[str]) -> tuple[str, ...]:
        """Warnings about training these parameters for these target languages, a sentence each (none by default)."""
        return ()

    def adapted(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Parameter names and shapes after ``adapt``, from those before it; without torch, for checks."""
        return dict(shapes)

    def adapt(self, network: nn.Module, seed: int) -> None:
        """Add parameters to the model, in place, before a phase (nothing by default).

        It keeps its class, and its outputs bit for bit: the reference is the model without them. What is drawn
        depends on ``seed`` (``training.seed``) alone, and torch's own generators stay as they were.
        """

    def finished(self, network: nn.Module, parameters: Mapping[str, Tensor], folder: Path) -> Mapping[str, Tensor]:
        """The result of a phase, float32 by the plain model's parameter names: all that later phases load.

        Args:
            network: the trained model, as ``adapt`` left it; it is not used again.
            parameters: the trained parameters by name; by default they are the result.
            folder: for files of the selector's own, which are kept with the artifact and the run; made when needed.
        """
        return parameters


# ---------------------------------------------------------------- translators


@dataclass(frozen=True)
class Pair:
    """A direction of translation, as BCP-47 tags."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


@dataclass(frozen=True)
class Translation:
    """A translation with what its translator knows about it.

    Attributes:
        text: None where there is none.
        score: mean log-probability of its tokens in nats, as the model that made it says; None where none is known.
        problem: why the text is not to be trusted, in a word or two (``truncated``); None where nothing is known.
    """

    text: str | None
    score: float | None = None
    problem: str | None = None


class OpenTranslator(Protocol):
    """What ``Translator.open`` gives: a translator with its model in memory.

    It may have three more methods. ``translate_again(segments, pair)`` gives the same as ``translate`` with other
    settings; it is asked about segments whose first translation was cut or ran in circles. ``look_up(documents,
    pair)`` gives translations of whole documents that it happens to know, None for the others, which are taken apart.
    ``usage()`` gives what it has used so far, numbers by name (tokens, requests, money), to be said at the end.
    One that works on several requests at a time may say with the attribute ``at_once`` how many segments keep it busy.
    An attribute ``running`` may say in a sentence how it runs (device, precision, threads), None until it does.
    """

    def translate(self, segments: Sequence[str], pair: Pair) -> Sequence[str | Translation | None]:
        """Translations in the same order and of the same number; None where there is none."""
        ...


class Translator(Component):
    """Something that translates segments of text.

    Attributes:
        unit: what it is given at a time: a ``sentence`` (white space, markers, code and addresses are kept out of
            its sight), or a whole ``document``. A property where options decide.
    """

    kind: ClassVar[str] = "translator"
    unit: ClassVar[Literal["sentence", "document"]] = "sentence"

    @abstractmethod
    def languages(self) -> frozenset[str] | None:
        """BCP-47 tags it speaks, in both directions; None when only the data can tell."""

    def cannot(self, pair: Pair) -> str | None:
        """Why it cannot translate in a direction, without a full stop; None where nothing is known against it."""
        spoken = self.languages()
        unspoken = [tag for tag in (pair.source, pair.target) if spoken is not None and tag not in spoken]
        if not unspoken:
            return None
        known = ", ".join(sorted(spoken or ()))
        return f'translator "{self.name}" does not speak {" or ".join(unspoken)}. It speaks: {known}'

    @abstractmethod
    def open(self, device: str, cache: Path) -> AbstractContextManager[OpenTranslator]:
        """Load what is needed onto ``device`` (``cpu`` or ``cuda``); conversions are kept in ``cache``."""


# ---------------------------------------------------------------- filters


@dataclass(frozen=True)
class Drop:
    """Why a filter drops an example: a short reason, and the number that decided."""

    reason: str
    measure: float


Judge = Callable[[Sequence[ParallelExample]], Sequence[Drop | None]]


class Filter(Component):
    """Judges a whole example: it stays or goes in all four views."""

    kind: ClassVar[str] = "filter"

    @abstractmethod
    def judge(self, example: ParallelExample) -> Drop | None:
        """None keeps the example."""

    def open(self, device: str, cache: Path) -> AbstractContextManager[Judge]:
        """What judges many examples at a time: a verdict for each, in order. By default ``judge``, one by one.

        A filter with a model (quality estimation, similarity of embeddings) loads it here, onto ``device`` (``cpu`` or
        ``cuda``), scores in batches of its own, and frees it at the end. ``cache`` is a folder for what it converts.
        """
        return nullcontext(lambda examples: [self.judge(example) for example in examples])


# ---------------------------------------------------------------- evaluators


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


KINDS: tuple[type[Component], ...] = (Translator, Filter, Objective, Selector, Evaluator)

# In Python a recipe is open: any instance of the kind is welcome, and is saved with all its options.
AnyTranslator = SerializeAsAny[InstanceOf[Translator]]
AnyFilter = SerializeAsAny[InstanceOf[Filter]]
AnyObjective = SerializeAsAny[InstanceOf[Objective]]
AnySelector = SerializeAsAny[InstanceOf[Selector]]
AnyEvaluator = SerializeAsAny[InstanceOf[Evaluator]]


def nested(component: Component) -> Iterator[Component]:
    """The components inside a component (a fallback translator, for instance)."""
    for field_name in type(component).model_fields:
        value = getattr(component, field_name)
        yield from (item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Component))
