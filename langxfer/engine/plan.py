"""From a recipe to stages with keys. A fixed order, not a general graph; no torch.

    translate -> encode -> quality -> evaluate (before) -> (reference -> train) per phase -> evaluate (after)

A key is the hash of everything that decides a stage's result, upstream keys included, so a plan
is known before anything has run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from langxfer.components import Evaluator, numbered
from langxfer.engine import models, sources
from langxfer.engine.encode import CUT_VERSION
from langxfer.engine.models import ModelIdentity
from langxfer.engine.objectives import scored_views
from langxfer.engine.store import Artifact, Store, digest
from langxfer.engine.template import NAMED
from langxfer.recipe import Model, Phase, Recipe
from langxfer.translation import pipeline

RESULTS_VERSION = 1  # raised when the engine itself begins to give other results


@dataclass(frozen=True)
class Stage:
    """Something that is made once.

    Attributes:
        name: kind of stage, also the folder of its artifacts.
        label: what people read, such as ``train[0] clo``.
        what: JSON values that decide the result.
    """

    name: str
    label: str
    what: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        return digest({"stage": self.name, "what": self.what, "engine": RESULTS_VERSION})


@dataclass(frozen=True)
class PhaseStages:
    """The stages of one training phase."""

    phase: Phase
    reference: Stage | None
    train: Stage


@dataclass(frozen=True)
class EvaluatorStages:
    """The stages of one evaluator, and the name by which its results go."""

    name: str
    evaluator: Evaluator
    before: Stage
    after: Stage


@dataclass(frozen=True)
class Plan:
    """All stages of a recipe.

    Attributes:
        seen: what decides evaluations beside evaluator and model: validation examples, tokenizer, template.
        validation_only: the data are those examples alone; the stages of training are never made of them.
    """

    recipe: Recipe
    model: ModelIdentity
    translate: Stage
    encode: Stage
    quality: Stage
    phases: tuple[PhaseStages, ...]
    evaluators: tuple[EvaluatorStages, ...]
    seen: Mapping[str, Any]
    validation_only: bool = False

    @property
    def stages(self) -> Iterator[Stage]:
        """In the order in which they run."""
        yield self.translate
        yield self.encode
        yield self.quality
        yield from (pair.before for pair in self.evaluators)
        for phase in self.phases:
            yield from ([phase.reference] if phase.reference else [])
            yield phase.train
        yield from (pair.after for pair in self.evaluators)

    @cached_property
    def key(self) -> str:
        """The identity of the whole run."""
        return digest([stage.key for stage in self.stages])


def build(recipe: Recipe, *, validation_only: bool = False) -> Plan:
    """The plan of a recipe whose paths are resolved; with ``validation_only`` nothing is prepared for training.

    Raises:
        RecipeError, DataError: the model or the data cannot be found.
    """
    model = models.identify(recipe.model)
    data = recipe.data
    chosen = {
        "data": {
            **sources.identity(data),
            "format": data.format,
            "fields": data.fields.what(),
            "source_language": data.source_language,
            "target_languages": list(data.target_languages),
            "validation": data.validation,
            "seed": data.seed if data.validation else None,
            "filters": [filter_.what() for filter_ in data.filters],
            **({} if data.replies_per_prompt == 1 else {"replies_per_prompt": data.replies_per_prompt}),
        },
        "translator": {**recipe.translator.what(), "pipeline": pipeline.what()} if recipe.translator else None,
    }
    translate = Stage("translate", "translate", {**chosen, "limit": 0 if validation_only else data.limit})
    tokens = {
        "tokenizer": model.tokenizer,
        "template": template_of(recipe.model),
        "max_length": data.max_length,
        "too_long": data.too_long,
        **({"cut": CUT_VERSION} if data.too_long == "cut" else {}),
    }
    encode = Stage("encode", "encode", {"translate": translate.key, **tokens})
    measured = {**recipe.quality.what(), "libraries": libraries("py3langid", "sacrebleu")}
    quality = Stage("quality", "quality", {"translate": translate.key, **measured})
    base = start_of(recipe.model, model)
    phases: list[PhaseStages] = []
    start: dict[str, Any] = dict(base)
    for number, phase in enumerate(recipe.phases):
        phases.append(_phase(number, phase, start, encode))
        start = {**start, "model": phases[-1].train.key}
    # Of the data, an evaluation sees the validation examples alone: it is shared by all sizes (data.limit).
    seen = {"validation": digest({**chosen, **tokens}), "tokenizer": model.tokenizer, "template": tokens["template"]}
    evaluators = [
        EvaluatorStages(
            name,
            evaluator,
            evaluation(f"evaluate before: {evaluator.name}", evaluator, base, seen),
            evaluation(f"evaluate after: {evaluator.name}", evaluator, start, seen),
        )
        for name, evaluator in zip(names(recipe.evaluators), recipe.evaluators, strict=True)
    ]
    return Plan(recipe, model, translate, encode, quality, tuple(phases), tuple(evaluators), seen, validation_only)


def names(evaluators: Sequence[Evaluator]) -> list[str]:
    """Their names, for results and files."""
    return numbered(evaluator.name for evaluator in evaluators)


def start_of(model: Model, identity: ModelIdentity) -> dict[str, Any]:
    """What decides the numbers of a model that nothing was trained on yet."""
    return {"model": identity.weights, "dtype": model.dtype, "libraries": libraries("torch", "transformers")}


def template_of(model: Model) -> str | None:
    """What a template changes in keys; the tokenizer's own is part of the tokenizer."""
    return model.template and NAMED.get(model.template)


def evaluation(label: str, evaluator: Evaluator, model: Mapping[str, Any], seen: Mapping[str, Any]) -> Stage:
    """The stage of one evaluator on one model.

    Args:
        label: for people.
        evaluator: with its options.
        model: as ``start_of``, after training with the key of that.
        seen: tokenizer, template, and what decides the validation examples.
    """
    return Stage("evaluate", label, {**model, **seen, "evaluator": evaluator.what()})


def answered_by(stage: Stage) -> dict[str, Any]:
    """Of an evaluation's values, those that decide what the model answers to a request, whoever asks."""
    kept = ("model", "dtype", "libraries", "tokenizer", "template")
    return {"engine": RESULTS_VERSION, **{name: stage.what[name] for name in kept}}


def _phase(number: int, phase: Phase, start: Mapping[str, Any], encode: Stage) -> PhaseStages:
    objective = phase.objective
    views = [view.value for view in scored_views(objective)]
    reference = None
    if objective.needs_reference:
        reference = Stage("reference", f"reference[{number}]", {**start, "encode": encode.key, "views": views})
    what = {
        **start,
        "encode": encode.key,
        "reference": reference.key if reference else None,
        "objective": objective.what(),
        "selector": phase.selector.what(),
        "training": phase.training.what(),
    }
    return PhaseStages(phase, reference, Stage("train", train_label(number, phase), what))


def train_label(number: int, phase: Phase) -> str:
    """What people read of the training of a phase."""
    return f"train[{number}] {phase.objective.name}"


def libraries(*names: str) -> dict[str, str]:
    """Versions (major.minor) of the libraries that decide the numbers of a stage."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = ".".join(version(name).split(".")[:2])
        except PackageNotFoundError:
            found[name] = "absent"
    return found


@dataclass(frozen=True)
class Outlook:
    """Whether a stage will be made, and why: ``hit``, or a list of what changed since the most similar artifact."""

    stage: Stage
    hit: bool
    reasons: tuple[str, ...]


def outlook(plan: Plan, store: Store) -> list[Outlook]:
    """Hit or miss of every stage, with the reason of each miss."""
    return outlook_of(plan.stages, store)


def outlook_of(stages: Iterable[Stage], store: Store) -> list[Outlook]:
    """The same of some stages, in the order in which they run."""
    found: list[Outlook] = []
    missing: dict[str, str] = {}  # key -> label of stages that will be made
    for stage in stages:
        artifact = store.find(stage.name, stage.key, verify=False)
        hit = artifact is not None and not artifact.unfinished
        reasons = [] if hit else _reasons(stage, store, artifact, missing)
        if not hit:
            missing[stage.key] = stage.label
        found.append(Outlook(stage, hit, tuple(reasons)))
    return found


def _reasons(stage: Stage, store: Store, artifact: Artifact | None, missing: Mapping[str, str]) -> list[str]:
    if store.partial(stage.name, stage.key).exists():
        return ["unfinished: goes on where it stopped"]
    if artifact is not None:
        return [f"unfinished: {artifact.unfinished}"]
    upstream = [missing[value] for value in stage.what.values() if isinstance(value, str) and value in missing]
    changes = store.nearest(stage.name, stage.what)
    if changes is None:
        return ["never made before"]
    own = [
        change for change in changes if not change.startswith(("encode ", "reference ", "translate ", "validation "))
    ]
    own = [change for change in own if not (upstream and change.startswith("model "))]
    return (
        [*(f"{label} is made again" for label in upstream), *own]
        or changes
        or ["the stored one is incomplete or corrupt"]
    )
