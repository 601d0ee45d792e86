"""What a plan costs: examples, tokens, optimizer steps, FLOPs. Exact once the data is encoded; no torch.

FLOPs need the model's files as well. Evaluation is not counted: what it generates is not known before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from langxfer.data import AnyView, Side, View
from langxfer.engine import accounting, batches, budget, encode, memory, models, sources
from langxfer.engine.accounting import Meter, Uncounted
from langxfer.engine.encode import Encoded
from langxfer.engine.flops import Account
from langxfer.engine.formats import SourceRow
from langxfer.engine.matmul import Setting
from langxfer.engine.mismatch import with_mismatched
from langxfer.engine.model_size import Shapes, read_config
from langxfer.engine.objectives import scored_views
from langxfer.engine.plan import PhaseStages, Plan
from langxfer.engine.selection import chosen
from langxfer.engine.store import Store
from langxfer.errors import DataError, RecipeError
from langxfer.recipe import Phase, Recipe

CHARACTERS_PER_TOKEN = 3.0  # between English (about 4) and languages a tokenizer knows badly (about 2)


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
    """

    label: str
    passes: Mapping[str, Account]
    exact: bool
    flops: int
    least_seconds: float | None
    memory: int | None


@dataclass(frozen=True)
class Cost:
    """``tokens`` are those of prompts and responses of both sides, once; ``exact`` when counted, else estimated.

    ``uncounted`` says why there are no FLOPs.
    """

    examples: int
    validation: int
    tokens: int
    steps: tuple[int, ...]
    segments: int
    exact: bool
    phases: tuple[PhaseCost, ...]
    uncounted: str | None

    def sentence(self) -> str:
        about = "" if self.exact else "about "
        text = f"{self.examples} training and {self.validation} validation examples, {about}{self.tokens:,} tokens; "
        text += f"optimizer steps: {' + '.join(map(str, self.steps))}"
        return text + (f"; {self.segments} segments to translate" if self.segments else "")


@dataclass(frozen=True)
class _Data:
    """Examples as far as lengths go; ``tokens`` of all prompts and responses."""

    train: Sequence[Encoded]
    validation: Sequence[Encoded]
    tokens: int
    exact: bool


def estimate(plan: Plan, store: Store) -> Cost:
    """Count what is encoded already, or read the data and estimate."""
    recipe = plan.recipe
    data = _counted(plan, store) or _estimated(recipe)
    translated = recipe.translator is None or store.find("translate", plan.translate.key, verify=False) is not None
    examples, validation = len(data.train), len(data.validation)
    phases = [_phase(recipe, phase, data) for phase in plan.phases]
    return Cost(
        examples,
        validation,
        data.tokens,
        tuple(batches.steps_in_total(phase.phase.training, examples) for phase in plan.phases),
        0 if translated else 2 * (examples + validation),
        data.exact,
        tuple(phase for phase in phases if isinstance(phase, PhaseCost)),
        next((phase.reason for phase in phases if isinstance(phase, Uncounted)), None),
    )


def _counted(plan: Plan, store: Store) -> _Data | None:
    encoded = store.find("encode", plan.encode.key, verify=False)
    if encoded is None:
        return None
    train, validation = (encode.load_lengths(encoded.path / f"{name}.safetensors") for name in ("train", "validation"))
    facts = encoded.manifest["facts"]
    return _Data(train, validation, facts["train_tokens"] + facts["validation_tokens"], exact=True)


def _estimated(recipe: Recipe) -> _Data:
    data = recipe.data
    rows, _ = sources.read(data)
    train, validation = (
        [_guess(row, data.source_language, target) for row in own for target in data.target_languages]
        for own in sources.split(rows, data)
    )
    every = [*train, *validation]
    tokens = sum(len(ids) for e in every for ids in (*e.prompts.values(), e.responses[View.SS], e.responses[View.TT]))
    return _Data(train, validation, tokens, exact=False)


def _guess(row: SourceRow, source: str, target: str) -> Encoded:
    """An example as long as its characters suggest, in both languages alike."""
    turn = row.turns[source]
    prompt, response = (range(round(len(text) / CHARACTERS_PER_TOKEN)) for text in (turn.prompt, turn.response))
    prompts, responses = dict.fromkeys(Side, prompt), dict.fromkeys(View, response)
    return Encoded(f"{row.id}/{target}", prompts, responses, dict.fromkeys(Side, 0))


def _phase(recipe: Recipe, stages: PhaseStages, data: _Data) -> PhaseCost | Uncounted:
    objective, longest = stages.phase.objective, recipe.data.max_length
    try:
        train, validation = (
            with_mismatched(own, objective.statistic_views, longest, name)
            for name, own in (("training", data.train), ("validation", data.validation))
        )
        meters = _meters(recipe, stages, [*train, *validation])
    except (RecipeError, DataError) as error:
        return Uncounted(str(error))
    uncounted = next((own for own in meters if isinstance(own, Uncounted)), None)
    if uncounted is not None:
        return uncounted
    own, start = meters
    passes = own.phase(stages.phase.training, train, validation)
    if stages.reference is not None:
        passes["reference"] = start.scoring(start.tokens([*train, *validation]))
    flops = sum(part.flops for part in passes.values())
    rate = Setting.of(recipe, own.size.largest).remembered()
    exact = data.exact and own.layout != "padded"
    peak = _memory(recipe, stages.phase, own, train)
    return PhaseCost(stages.train.label, passes, exact, flops, flops / rate if rate else None, peak)


def _memory(recipe: Recipe, phase: Phase, found: Meter, train: Sequence[Encoded]) -> int | None:
    folder, tokens = models.local_folder(recipe.model), budget.known_without_torch(recipe.compute)
    if folder is None or tokens is None:
        return None
    shapes, config = phase.selector.adapted(models.stored_shapes(folder)), read_config(folder)
    on_cpu = not budget.expects_gpu(recipe.compute)
    return memory.of_training(recipe, phase, config, shapes, found.trained, train, tokens, on_cpu=on_cpu).total


def _meters(recipe: Recipe, stages: PhaseStages, examples: Sequence[Encoded]) -> Sequence[Meter | Uncounted]:
    """Of the phase, and of its reference: the model before anything was added to it."""
    folder = models.local_folder(recipe.model)
    stored = models.stored_shapes(folder) if folder else {}
    if not folder or not stored:
        return [Uncounted("the model is not in the cache yet")]
    selector, objective, compute = stages.phase.selector, stages.phase.objective, recipe.compute
    config, shapes, longest = read_config(folder), selector.adapted(stored), recipe.data.max_length

    def meter(
        own: Shapes, trained: Iterable[str], views: Iterable[AnyView], extra: Iterable[AnyView]
    ) -> Meter | Uncounted:
        again = compute.activation_checkpointing
        return accounting.meter(
            own, config, trained, views, examples, compute.layout, again, statistic_views=extra, max_length=longest
        )

    learning = meter(shapes, chosen(selector, shapes), objective.views, objective.statistic_views)
    return [learning, meter(stored, (), scored_views(objective), ())]
