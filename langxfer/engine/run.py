"""Executes a plan: finds or makes every stage's artifact, then lays out the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from langxfer.components import Score
from langxfer.data import read_examples, read_jsonl
from langxfer.engine import evaluate, folder, plan, stages
from langxfer.engine.plan import Plan, Stage
from langxfer.engine.selection import advice
from langxfer.engine.stages import Facts, Work
from langxfer.engine.store import Artifact, Store, storage_errors
from langxfer.engine.weights import TRAINED
from langxfer.errors import ArtifactError, DataError, LangxferError, StageError
from langxfer.events import Event, Notice, StageFinished, StageSkipped, StageStarted
from langxfer.recipe import Recipe
from langxfer.report.comparison import Comparison, compare_all

TOO_LARGE = (
    "out of memory. Lower compute.tokens_per_micro_batch or compute.prompts_per_batch, "
    "or set compute.activation_checkpointing: true; results stay the same."
)


@dataclass(frozen=True)
class Outcome:
    """What became of one stage in this run."""

    stage: Stage
    artifact: Artifact
    made: bool


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        recipe: as filled, with all defaults.
        path: the run folder.
        before: scores of the unadapted model, by evaluator.
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

    Args:
        recipe: relative paths in it are taken from the working directory.
        runs: where run folders and shared artifacts go.
        observe: called with every event, on the main process.
        written: the recipe's text, to be kept beside the filled one.

    Raises:
        RecipeError, DataError: something in the recipe or the data is wrong.
        StageError: a stage failed; what was finished is kept, and the next run goes on there.
        ArtifactError: something cannot be stored.
    """
    from langxfer.engine.runtime import Runtime

    recipe = recipe.resolved(Path.cwd())
    runtime = Runtime(recipe.compute)
    made = plan.build(recipe)
    layout = folder.RunFolder(Path(runs) / folder.name_of(recipe, made.key))
    store = Store(Path(runs) / "artifacts")
    if runtime.main:
        layout.begin(recipe, made, store, written)

    def emit(event: Event) -> None:
        if runtime.main:
            layout.event(event)
            observe(event)

    for warning in advice(recipe):
        emit(Notice(warning))
    work = Work(made, runtime, emit)
    outcomes = _Maker(work, store).all()
    before, after = _scores(made, outcomes)
    comparisons = _comparisons(made, outcomes, emit) if runtime.main else []
    result = Run(recipe, layout.path, before, after, outcomes, comparisons)
    if runtime.main:
        with storage_errors(layout.path):
            layout.finish(result, work)
    runtime.barrier()
    return result


class _Maker:
    """Goes through the stages of a plan in order."""

    def __init__(self, work: Work, store: Store):
        self.work, self.store = work, store
        self.outcomes: list[Outcome] = []

    def all(self) -> list[Outcome]:
        work, made = self.work, self.work.plan
        translated = self.perform(made.translate, lambda path: stages.make_translate(work, path), shared=False)
        encoded = self.perform(made.encode, lambda path: stages.make_encode(work, path, translated), shared=False)
        self.perform(made.quality, lambda path: stages.make_quality(work, path, translated), shared=False)
        self.evaluations("before", translated, encoded, [])
        trained: list[Path] = []
        for phase in made.phases:
            start = list(trained)
            referenced = None
            if phase.reference is not None:
                referenced = self.perform(
                    phase.reference, lambda path, p=phase, s=start: stages.make_reference(work, path, p, encoded, s)
                )
            artifact = self.perform(
                phase.train,
                lambda path, p=phase, r=referenced, s=start: stages.make_train(work, path, p, encoded, r, s),
            )
            trained.append(artifact.path / TRAINED)
        self.evaluations("after", translated, encoded, trained)
        return self.outcomes

    def evaluations(self, when: str, translated: Artifact, encoded: Artifact, trained: list[Path]) -> None:
        examples = encodings = None
        for pair in self.work.plan.evaluators:
            stage = pair.before if when == "before" else pair.after
            examples = examples or read_examples(translated.path / "validation.jsonl")
            encodings = encodings or stages.load_encoded(encoded, "validation")
            self.perform(
                stage,
                lambda path, s=stage, e=pair.evaluator, x=examples, y=encodings: stages.make_evaluate(
                    self.work, path, s.label, e, x, y, trained
                ),
            )

    def perform(self, stage: Stage, make: Callable[[Path], Facts], *, shared: bool = True) -> Artifact:
        """The stage's artifact: found, or made by all processes (``shared``) or by the main one alone.

        The main process decides; nobody waits at a barrier that another does not reach.
        """
        runtime, store = self.work.runtime, self.store
        found = store.find(stage.name, stage.key) if runtime.main else None
        if runtime.decide(found is not None):
            self.work.emit(StageSkipped(stage.label, stage.key))
            return self._keep(stage, found, made=False)
        if not runtime.main:
            return self._assist(stage, make, shared)
        with store.locked(stage.name, stage.key):
            found = store.find(stage.name, stage.key)  # another process may have made it while we waited
            if runtime.decide(found is not None):
                self.work.emit(StageSkipped(stage.label, stage.key))
                return self._keep(stage, found, made=False)
            return self._keep(stage, self._make(stage, make), made=True)

    def _make(self, stage: Stage, make: Callable[[Path], Facts]) -> Artifact:
        from langxfer.engine.runtime import PeakMemory

        runtime, store = self.work.runtime, self.store
        partial = store.partial(stage.name, stage.key)
        self.work.emit(StageStarted(stage.label, stage.key, resumed=partial.exists()))
        with storage_errors(partial):
            partial.mkdir(parents=True, exist_ok=True)
        runtime.barrier()
        began, peak = time.monotonic(), PeakMemory(runtime.device)
        facts = _guarded(stage, partial, lambda: make(partial))
        runtime.barrier()
        measured = {"seconds": time.monotonic() - began, "peak_memory": peak.read()}
        artifact = store.commit(stage.name, stage.key, stage.what, {"facts": {**facts, **measured}})
        stages.free()
        self.work.emit(StageFinished(stage.label, stage.key, measured["seconds"], measured["peak_memory"]))
        runtime.barrier()
        return artifact

    def _assist(self, stage: Stage, make: Callable[[Path], Facts], shared: bool) -> Artifact:
        """What a process other than the main one does: help, and wait until the artifact is complete."""
        runtime = self.work.runtime
        if not runtime.decide(False):
            runtime.barrier()
            if shared:
                partial = self.store.partial(stage.name, stage.key)
                _guarded(stage, partial, lambda: make(partial))
                stages.free()
            runtime.barrier()
            runtime.barrier()
        return self._keep(stage, None, made=True)

    def _keep(self, stage: Stage, artifact: Artifact | None, *, made: bool) -> Artifact:
        artifact = artifact or self.store.find(stage.name, stage.key, verify=False)
        if artifact is None:
            raise ArtifactError(
                f"{self.store.root}: stage {stage.label} was made, but this process cannot see it. Is it shared?"
            )
        self.outcomes.append(Outcome(stage, artifact, made))
        return artifact


def _guarded(stage: Stage, folder: Path, make: Callable[[], Facts]) -> Facts:
    """A stage's failure as a sentence; our own errors pass as they are."""
    from langxfer.engine.head import Unsupported
    from langxfer.engine.statistics import NotFinite

    try:
        with storage_errors(folder):
            return make()
    except LangxferError:
        raise
    except NotFinite as error:
        raise StageError(
            stage.label, stage.key, f"{error}. Look at these examples, lower learning_rate, or use dtype float32."
        ) from None
    except Unsupported as error:
        raise StageError(stage.label, stage.key, str(error)) from None
    except MemoryError:
        raise StageError(stage.label, stage.key, TOO_LARGE) from None
    except RuntimeError as error:
        if "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower():
            raise StageError(stage.label, stage.key, TOO_LARGE) from None
        raise


def _scores(made: Plan, outcomes: list[Outcome]) -> tuple[dict[str, list[Score]], dict[str, list[Score]]]:
    artifacts = {outcome.stage.key: outcome.artifact for outcome in outcomes}
    both: list[dict[str, list[Score]]] = []
    for when in ("before", "after"):
        found: dict[str, list[Score]] = {}
        for pair in made.evaluators:
            path = artifacts[getattr(pair, when).key].path
            found.setdefault(pair.evaluator.name, []).extend(Score(**row) for row in read_jsonl(path / evaluate.SCORES))
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
