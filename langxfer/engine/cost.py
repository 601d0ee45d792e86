"""What a recipe costs: examples, tokens, optimizer steps, FLOPs. Exact once the data is encoded; no torch.

FLOPs need the shapes of the model: from its files, or of a well-known one without them. Translation and evaluations are
estimated (``workloads``): what is generated is not known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langxfer.data import AnyView, Side, View
from langxfer.engine import accounting, batches, budget, encode, memory, sources, workloads
from langxfer.engine.accounting import Meter, Uncounted
from langxfer.engine.encode import Encoded
from langxfer.engine.flops import Account
from langxfer.engine.known_models import Anatomy, anatomy
from langxfer.engine.matmul import Setting
from langxfer.engine.mismatch import with_mismatched
from langxfer.engine.model_size import Shapes
from langxfer.engine.objectives import scored_views
from langxfer.engine.plan import Plan, train_label
from langxfer.engine.selection import chosen
from langxfer.engine.store import Store
from langxfer.engine.tokens import repeated
from langxfer.engine.workloads import CHARACTERS_PER_TOKEN, NotCounted, Work
from langxfer.errors import ArtifactError, DataError, RecipeError
from langxfer.recipe import Data, Phase, Recipe

# Characters of a prompt and of an answer where the data cannot be read: means of 100 English trees of OASST1, of first
# turns and best answers.
PROMPT, ANSWER = 159, 1129


@dataclass(frozen=True)
class PhaseCost:
    """What one phase computes, by pass (``training``, ``validation``, ``reference``) and part.

    Attributes:
        exact: counted from encoded data; otherwise estimated from characters, or without the padding of ``padded``.
        flops: of all passes.
        least_seconds: at the rate of a plain matmul that was measured on this machine before; None if none was.
            No phase is faster than that.
        memory: predicted peak of training, in bytes: resident on CPU, allocated on CUDA; None where the micro-batches
            are what fits into a GPU.
        gpu_memory: the least that training allocates on any GPU, with the smallest micro-batches that the data allow.
    """

    label: str
    passes: Mapping[str, Account]
    exact: bool
    flops: int
    least_seconds: float | None
    memory: int | None
    gpu_memory: int


@dataclass(frozen=True)
class Cost:
    """``tokens`` are those of prompts and responses of both sides, once; ``exact`` when counted, else estimated.

    Attributes:
        uncounted: why there are no FLOPs.
        work: all parts of the run that could be counted or estimated, as if nothing was made before.
        not_counted: parts that could not.
        assumptions: sentences; none where all is known.
        warnings: of settings that will not do what they seem to.
    """

    examples: int
    validation: int
    tokens: int
    steps: tuple[int, ...]
    segments: int
    exact: bool
    phases: tuple[PhaseCost, ...]
    uncounted: str | None
    work: tuple[Work, ...]
    not_counted: tuple[NotCounted, ...]
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def sentence(self) -> str:
        about = "" if self.exact else "about "
        text = f"{self.examples} training and {self.validation} validation examples, {about}{self.tokens:,} tokens; "
        text += f"optimizer steps: {' + '.join(map(str, self.steps))}"
        return text + (f"; {self.segments} segments to translate" if self.segments else "")


@dataclass(frozen=True)
class _Data:
    """Examples as far as lengths go; ``tokens`` of all prompts and responses; ``assumed`` says of what length."""

    train: Sequence[Encoded]
    validation: Sequence[Encoded]
    tokens: int
    exact: bool
    assumed: str | None = None


def estimate(recipe: Recipe, store: Store, plan: Plan | None = None) -> Cost:
    """Count what is encoded already, or read the data and estimate, or assume its lengths.

    Args:
        recipe: with its paths resolved.
        store: of artifacts.
        plan: None where it cannot be made because a hub does not answer.

    Raises:
        ArtifactError: a hub does not answer, and the recipe does not limit the data.
    """
    data = (_counted(plan, store) if plan else None) or _estimated(recipe.data)
    found = anatomy(recipe.model)
    examples, validation = len(data.train), len(data.validation)
    phases = [_phase(recipe, number, phase, data, found) for number, phase in enumerate(recipe.phases)]
    counted = tuple(phase for phase in phases if isinstance(phase, PhaseCost))
    work = list(_parts(recipe, data, found, counted))
    translated = recipe.translator is None or _translated(plan, store)
    steps = tuple(batches.steps_in_total(phase.training, examples) for phase in recipe.phases)
    return Cost(
        examples,
        validation,
        data.tokens,
        steps,
        0 if translated else 2 * (examples + validation),
        data.exact,
        counted,
        next((phase.reason for phase in phases if isinstance(phase, Uncounted)), None),
        tuple(part for part in work if isinstance(part, Work)),
        tuple(part for part in work if isinstance(part, NotCounted)),
        tuple(_assumptions(recipe, data, found)),
        tuple(_warnings(recipe, steps)),
    )


def _warnings(recipe: Recipe, steps: Sequence[int]) -> Iterable[str]:
    for number, (phase, own) in enumerate(zip(recipe.phases, steps, strict=True)):
        problem = batches.only_warms_up(phase.training, own)
        if problem:
            yield f"phases[{number}].training.{problem}."


def _translated(plan: Plan | None, store: Store) -> bool:
    return plan is not None and store.find("translate", plan.translate.key, verify=False) is not None


def _parts(
    recipe: Recipe, data: _Data, found: Anatomy | None, phases: Iterable[PhaseCost]
) -> Iterable[Work | NotCounted]:
    """Translation, phases, evaluations."""
    if recipe.translator is not None:
        yield workloads.translation(recipe.translator, data.tokens // 2)
    for phase in phases:
        yield from _work(phase, recipe.model.dtype)
    if found is not None:
        yield from workloads.evaluations(recipe, found, data.validation)


def _work(phase: PhaseCost, dtype: str) -> Iterable[Work]:
    """The reference apart from the rest of a phase, which is one stage."""
    training = sum(own.flops for name, own in phase.passes.items() if name != "reference")
    reference = phase.flops - training
    if reference:
        yield Work(f"reference of {phase.label}", reference, dtype)
    yield Work(phase.label, training, dtype)


def _assumptions(recipe: Recipe, data: _Data, found: Anatomy | None) -> Iterable[str]:
    if data.assumed:
        yield data.assumed
    if not data.exact:
        yield f"{CHARACTERS_PER_TOKEN:g} characters a token, and texts as long in all languages"
    if found is not None and not found.from_files:
        yield f"the shapes of {recipe.model.source} as langxfer knows them without its files"


def _counted(plan: Plan, store: Store) -> _Data | None:
    encoded = store.find("encode", plan.encode.key, verify=False)
    if encoded is None:
        return None
    train, validation = (encode.load_lengths(encoded.path / f"{name}.safetensors") for name in ("train", "validation"))
    facts = encoded.manifest["facts"]
    return _Data(train, validation, facts["train_tokens"] + facts["validation_tokens"], exact=True)


def _estimated(data: Data) -> _Data:
    try:
        rows, _ = sources.read(data)
    except ArtifactError as error:  # a hub that does not answer
        return _assumed(data, error)
    train, validation = (
        [
            _guess(f"{row.id}/{target}", len(turn.prompt), len(turn.response))
            for row in own
            for turn in [row.turns[data.source_language]]
            for target in data.target_languages
        ]
        for own in sources.split(rows, data)
    )
    return _Data(train, validation, _tokens([*train, *validation]), exact=False)


def _assumed(data: Data, error: ArtifactError) -> _Data:
    """As many examples as the recipe asks for, all of one length."""
    if data.limit is None:
        raise error
    train, validation = (_alike(rows, data.target_languages) for rows in (data.limit, data.validation))
    lengths = f"{PROMPT} characters in a prompt and {ANSWER:,} in an answer, as in OASST1"
    text = f"{data.source} cannot be read here: data.limit examples of it, with {lengths}"
    return _Data(train, validation, _tokens([*train, *validation]), exact=False, assumed=text)


def _alike(rows: int, targets: Sequence[str]) -> list[Encoded]:
    """Examples of one length: of two rows by turns, and a third at the end.

    What is there many times is counted quickly, and no row follows itself, around the end either.
    """
    made = [[_guess(f"{row}/{target}", PROMPT, ANSWER) for target in targets] for row in range(3)]
    numbers = [row % 2 for row in range(rows)]
    if rows > 2:
        numbers[-1] = 2
    return [example for number in numbers for example in made[number]]


def _guess(name: str, prompt: int, response: int) -> Encoded:
    """An example as long as its characters suggest, in both languages alike."""
    fed, scored = (range(round(characters / CHARACTERS_PER_TOKEN)) for characters in (prompt, response))
    return Encoded(name, dict.fromkeys(Side, fed), dict.fromkeys(View, scored), dict.fromkeys(Side, 0))


def _tokens(examples: Sequence[Encoded]) -> int:
    """Of all prompts and responses, once."""
    return sum(
        times * sum(map(len, (*example.prompts.values(), example.responses[View.SS], example.responses[View.TT])))
        for example, times in repeated(examples)
    )


def _phase(recipe: Recipe, number: int, phase: Phase, data: _Data, found: Anatomy | None) -> PhaseCost | Uncounted:
    objective, longest = phase.objective, recipe.data.max_length
    if found is None:
        return Uncounted("the model is not in the cache yet")
    try:
        train, validation = (
            with_mismatched(own, objective.statistic_views, longest, name)
            for name, own in (("training", data.train), ("validation", data.validation))
        )
        shapes = phase.selector.adapted(found.shapes)
        meters = _meters(recipe, phase, found, shapes, [*train, *validation])
    except (RecipeError, DataError) as error:
        return Uncounted(str(error))
    uncounted = next((own for own in meters if isinstance(own, Uncounted)), None)
    if uncounted is not None:
        return uncounted
    own, start = meters
    passes = own.phase(phase.training, train, validation)
    if objective.needs_reference:
        passes["reference"] = start.scoring(start.tokens([*train, *validation]))
    flops = sum(part.flops for part in passes.values())
    rate = Setting.of(recipe, own.size.largest).remembered()
    exact = data.exact and own.layout != "padded"
    tokens, on_cpu = budget.known_without_torch(recipe.compute), not budget.expects_gpu(recipe.compute)

    def peak(examples: Sequence[Encoded], tokens: int, on_cpu: bool) -> int:
        return memory.of_training(
            recipe, phase, found.config, shapes, own.trained, examples, tokens, on_cpu=on_cpu
        ).total

    return PhaseCost(
        train_label(number, phase),
        passes,
        exact,
        flops,
        flops / rate if rate else None,
        peak(train, tokens, on_cpu) if tokens is not None else None,
        peak(train if data.exact else _longest(recipe.data), budget.fewest(recipe.compute), False),
    )


def _longest(data: Data) -> list[Encoded]:
    """An example as long as the recipe allows any to be."""
    characters = round(CHARACTERS_PER_TOKEN * data.max_length)
    prompt = min(PROMPT, characters // 2)
    return [_guess("longest", prompt, characters - prompt)]


def _meters(
    recipe: Recipe, phase: Phase, found: Anatomy, shapes: Shapes, examples: Sequence[Encoded]
) -> Sequence[Meter | Uncounted]:
    """Of the phase, whose model has ``shapes``, and of its reference: the model before anything was added to it."""
    objective, compute = phase.objective, recipe.compute

    def meter(
        own: Shapes, trained: Iterable[str], views: Iterable[AnyView], extra: Iterable[AnyView]
    ) -> Meter | Uncounted:
        again, longest = compute.activation_checkpointing, recipe.data.max_length
        return accounting.meter(
            own,
            found.config,
            trained,
            views,
            examples,
            compute.layout,
            again,
            statistic_views=extra,
            max_length=longest,
        )

    learning = meter(shapes, chosen(phase.selector, shapes), objective.views, objective.statistic_views)
    return [learning, meter(found.shapes, (), scored_views(objective), ())]
