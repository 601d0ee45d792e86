"""Executes a plan: finds or makes every stage's artifact, then lays out the run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from langxfer.components import Score
from langxfer.engine import evaluate, folder, plan, preflight, stages
from langxfer.engine.evaluate import Evaluations, Task, Validation
from langxfer.engine.making import Facts, Maker, Outcome
from langxfer.engine.plan import PhaseStages, Plan
from langxfer.engine.selection import advice
from langxfer.engine.stages import Work
from langxfer.engine.store import Artifact, Store, storage_errors
from langxfer.engine.tracking import RunTracking, require
from langxfer.engine.weights import TRAINED
from langxfer.errors import DataError, RecipeError
from langxfer.events import Event, Notice
from langxfer.recipe import Recipe
from langxfer.report.comparison import Comparison, compare_all

if TYPE_CHECKING:
    from langxfer.engine.runtime import Runtime


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        recipe: as filled, with all defaults.
        path: the run folder.
        before: scores of the unadapted model, by evaluator; the second of a name is ``NAME-2``.
        after: scores of the adapted model, by evaluator.
        outcomes: every stage with its artifact, in order.
        comparisons: before against after, by paired tests on the same items.
    """

    recipe: Recipe
    path: Path
    before: dict[str, list[Score]]
    after: dict[str, list[Score]]
    outcomes: list[Outcome]
    comparisons: list[Comparison]

    @property
    def model(self) -> Path:
        """The adapted model, in plain transformers format."""
        return self.path / "model"

    @property
    def did_work(self) -> bool:
        return any(outcome.made for outcome in self.outcomes)


@dataclass(frozen=True)
class Written:
    """The recipe as its author wrote it, for the run folder: text, name, overrides, plugin files and their SHA-256."""

    text: str
    name: str
    overrides: tuple[str, ...] = ()
    plugins: tuple[tuple[str, str], ...] = ()


def run(
    recipe: Recipe,
    runs: Path | str = "runs",
    *,
    observe: Callable[[Event], None] = lambda event: None,
    written: Written | None = None,
) -> Run:
    """Do what a recipe says, reusing every artifact that is there already.

    What evaluators lack is found before anything is computed.

    Args:
        recipe: relative paths in it are taken from the working directory.
        runs: where run folders and shared artifacts go.
        observe: called with every event, on the main process.
        written: the recipe's text, to be kept beside the filled one.

    Raises:
        RecipeError, DataError, PluginError: something in the recipe, the data, or what a plugin gave is wrong.
        StageError: a stage failed; what was finished is kept, and the next run goes on there.
        ArtifactError: something cannot be stored.
    """
    seen = foresee(recipe, runs)
    recipe, made, store, runtime = seen.recipe, seen.plan, seen.store, seen.runtime
    layout = folder.RunFolder(Path(runs) / seen.folder)
    if runtime.main:
        _begin(layout, recipe, made, store, written)

    def emit(event: Event) -> None:
        if runtime.main:
            layout.event(event)
            observe(event)
            tracking.event(event)

    tracking = RunTracking(made, store, layout.path, emit)
    for warning in advice(recipe):
        emit(Notice(warning))
    work = Work(made, runtime, emit)
    try:
        outcomes = _Stages(work, Maker(runtime, store, emit)).all()
        before, after = _scores(made, outcomes)
        if runtime.main:
            tracking.scores(before, after)
    finally:
        tracking.close()
    comparisons = _comparisons(made, outcomes, emit) if runtime.main else []
    result = Run(recipe, layout.path, before, after, outcomes, comparisons)
    if runtime.main:
        with _alone(store, layout), storage_errors(layout.path):
            layout.finish(result, work)
    runtime.barrier()
    return result


@dataclass(frozen=True)
class Foreseen:
    """A run that can begin."""

    recipe: Recipe
    plan: Plan
    store: Store
    runtime: Runtime

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        return folder.name_of(self.recipe, self.plan.key)


def foresee(recipe: Recipe, runs: Path | str = "runs") -> Foreseen:
    """See what can be seen before a run computes anything: model, data, devices, and what evaluators need.

    Raises:
        RecipeError, DataError, PluginError: as ``run`` does.
    """
    from langxfer.engine.runtime import Runtime

    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"run: found {recipe!r}; expected a Recipe. langxfer.load_recipe(path, langxfer.load_plugins()).recipe "
            "is one."
        )
    recipe = recipe.resolved(Path.cwd())
    require(recipe.tracking)
    runtime = Runtime(recipe.compute)
    store, examples = Store(Path(runs) / "artifacts"), preflight.stand_ins(recipe.data)
    preflight.check_files(recipe.evaluators, examples, runtime)
    made = plan.build(recipe)
    preflight.check_model(recipe)
    stages_of = [(pair.evaluator, stage) for pair in made.evaluators for stage in (pair.before, pair.after)]
    preflight.check_requests(stages_of, store, examples, runtime)
    return Foreseen(recipe, made, store, runtime)


def _begin(layout: folder.RunFolder, recipe: Recipe, made: Plan, store: Store, written: Written | None) -> None:
    with _alone(store, layout):
        layout.begin(recipe, made, store, written)


def _alone(store: Store, layout: folder.RunFolder) -> AbstractContextManager[None]:
    """Keeps others that do the same recipe out of its folder; the lock lies with those of artifacts, not in it."""
    return store.locked("run", layout.path.name)


class _Stages:
    """Goes through the stages of a plan in order."""

    def __init__(self, work: Work, maker: Maker):
        self.work, self.maker = work, maker

    def all(self) -> list[Outcome]:
        work, made, perform = self.work, self.work.plan, self.maker.perform
        translated, encoded = stages.prepare(work, self.maker)
        perform(made.quality, lambda path: stages.make_quality(work, path, translated), shared=False)
        validation = Validation(translated.path, encoded.path)
        self.evaluations("before", validation, [])
        trained: list[Path] = []
        for phase in made.phases:
            start = list(trained)
            referenced = None
            if phase.reference is not None:
                referenced = perform(
                    phase.reference, lambda path, p=phase, s=start: self._reference(path, p, encoded, s)
                )
            artifact = perform(
                phase.train,
                lambda path, p=phase, r=referenced, s=start: stages.make_train(work, path, p, encoded, r, s),
            )
            trained.append(artifact.path / TRAINED)
        self.evaluations("after", validation, trained)
        return self.maker.outcomes

    def _reference(self, path: Path, phase: PhaseStages, encoded: Artifact, start: Sequence[Path]) -> Facts:
        assert phase.reference is not None
        others = self.maker.alike(phase.reference, apart_from=("encode", "views"))
        return stages.make_reference(self.work, path, phase, encoded, start, others)

    def evaluations(self, when: Literal["before", "after"], validation: Validation, trained: list[Path]) -> None:
        tasks = [Task(pair.evaluator, getattr(pair, when)) for pair in self.work.plan.evaluators]
        Evaluations(self.maker, self.work.subject, trained, validation, f"evaluate {when}: answers").all(tasks)


def _scores(made: Plan, outcomes: list[Outcome]) -> tuple[dict[str, list[Score]], dict[str, list[Score]]]:
    artifacts = {outcome.stage.key: outcome.artifact for outcome in outcomes}
    both: list[dict[str, list[Score]]] = []
    for when in ("before", "after"):
        found: dict[str, list[Score]] = {}
        for pair in made.evaluators:
            path = artifacts[getattr(pair, when).key].path
            found[pair.name] = list(evaluate.read(path).scores)
        both.append(found)
    return both[0], both[1]


def _comparisons(made: Plan, outcomes: list[Outcome], emit: Callable[[Event], None]) -> list[Comparison]:
    artifacts = {outcome.stage.key: outcome.artifact.path for outcome in outcomes}
    pairs = [
        (evaluate.read(artifacts[pair.before.key]), evaluate.read(artifacts[pair.after.key]))
        for pair in made.evaluators
    ]
    try:
        return compare_all(pairs)
    except DataError as error:
        emit(Notice(f"before and after are shown without tests: {error}"))
        return []
