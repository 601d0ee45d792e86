"""Evaluates a model without training: a run's, before or after, or any other; with or without a recipe's data."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from langxfer.components import Evaluation, Score
from langxfer.data import drop_partial_line, read_jsonl, write_jsonl
from langxfer.engine import models, plan, preflight
from langxfer.engine.evaluate import Evaluations, Task, Validation, read
from langxfer.engine.evaluation_command import evaluation_command
from langxfer.engine.making import Maker, Outcome
from langxfer.engine.measured import Measured
from langxfer.engine.plan import Plan
from langxfer.engine.plugin_files import component_code, plugin_files
from langxfer.engine.runtime import Runtime
from langxfer.engine.stages import Work, prepare
from langxfer.engine.store import Store, digest, make_folder, storage_errors, write_atomically
from langxfer.engine.subject import Subject
from langxfer.engine.versions import versions
from langxfer.events import Event, Notice, Progress
from langxfer.recipe import Evaluating, Recipe
from langxfer.recipe_text import filled
from langxfer.report.finished import EVALUATORS, EVENTS, GENERATIONS, RECIPE, ROWS, SCORES


@dataclass(frozen=True)
class Request:
    """What is evaluated.

    Attributes:
        evaluating: model, evaluators, compute.
        measured: where the model was found.
        recipe: whose validation examples may be used; None for none.
        runs: where folders and artifacts are kept.
        notes: sentences that are told before anything else.
    """

    evaluating: Evaluating
    measured: Measured
    recipe: Recipe | None
    runs: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation.

    Attributes:
        model: its name.
        path: its folder.
        evaluations: scores, rows and notes by evaluator; the second of a name is ``NAME-2``.
        outcomes: stages with their artifacts.
    """

    model: str
    path: Path
    evaluations: dict[str, Evaluation]
    outcomes: list[Outcome]

    @property
    def scores(self) -> dict[str, Sequence[Score]]:
        """By evaluator, as a run has them."""
        return {name: own.scores for name, own in self.evaluations.items()}

    @property
    def rows(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        """By evaluator, an item each."""
        return {name: own.rows for name, own in self.evaluations.items()}

    @property
    def did_work(self) -> bool:
        return any(outcome.made for outcome in self.outcomes)


def evaluate_model(request: Request, observe: Callable[[Event], None] = lambda event: None) -> Evaluated:
    """Measure a model; what was measured or answered before is not asked again.

    Raises:
        RecipeError, DataError: the model, the data, or an evaluator's files are not what is needed.
        StageError: a stage failed; what was finished is kept, and the next call goes on there.
        ArtifactError: something cannot be stored.
    """
    wanted, runtime = request.evaluating, Runtime(request.evaluating.compute)
    store = Store(request.runs / "artifacts")
    examples = preflight.stand_ins(request.recipe.data) if request.recipe else []
    preflight.check_files(wanted.evaluators, examples, runtime)
    made = plan.build(request.recipe) if request.recipe else None
    tasks = _tasks(request, made)
    preflight.check_requests([(task.evaluator, task.stage) for task in tasks], store, examples, runtime)
    path = request.runs / f"evaluation-{_slug(request.measured.name)}-{digest([t.stage.key for t in tasks])[:10]}"

    if runtime.main:
        with storage_errors(path):
            drop_partial_line(path / EVENTS)

    def emit(event: Event) -> None:
        if runtime.main:
            observe(event)
            if not isinstance(event, Progress):
                _log(path, event)

    for note in request.notes:
        emit(Notice(note))
    maker = Maker(runtime, store, emit)
    validation, longest = Validation(), None
    if made is not None:
        longest = made.recipe.data.max_length
        if made.recipe.data.validation:
            work = Work(_data_plan(made, maker), runtime, emit)
            validation = Validation(*(artifact.path for artifact in prepare(work, maker)))
    subject = Subject(wanted.model, wanted.compute, longest, runtime, emit)
    trained = [path for _, path in request.measured.trained]
    Evaluations(maker, subject, trained, validation, "evaluate: answers").all(tasks)
    outcomes = {outcome.stage.key: outcome for outcome in maker.outcomes}
    found = dict(zip(plan.names(wanted.evaluators), (outcomes[task.stage.key] for task in tasks), strict=True))
    if runtime.main:
        with storage_errors(path):
            _write(path, request, found, runtime.hardware())
    runtime.barrier()
    evaluations = {name: _read(outcome) for name, outcome in found.items()}
    return Evaluated(request.measured.name, path, evaluations, maker.outcomes)


def _read(outcome: Outcome) -> Evaluation:
    facts = outcome.artifact.manifest["facts"]
    told = {"unfinished": facts.get("unfinished"), "notes": tuple(facts.get("notes", ()))}
    return replace(read(outcome.artifact.path), **told)


def _tasks(request: Request, made: Plan | None) -> list[Task]:
    """The stages of the evaluators: with a recipe those of its run on this model."""
    model, identity = request.evaluating.model, models.identify(request.evaluating.model)
    if made is not None:
        seen = made.seen
    else:
        seen = {"validation": None, "tokenizer": identity.tokenizer, "template": plan.template_of(model)}
    start = plan.start_of(model, identity)
    if request.measured.trained:
        start["model"] = request.measured.trained[-1][0]
    return [
        Task(evaluator, plan.evaluation(f"evaluate: {evaluator.name}", evaluator, start, seen))
        for evaluator in request.evaluating.evaluators
    ]


def _data_plan(whole: Plan, maker: Maker) -> Plan:
    """The recipe's own plan where its data are prepared; otherwise nothing but validation examples is prepared."""
    runtime = maker.runtime
    there = maker.finished(whole.translate) and maker.finished(whole.encode) if runtime.main else None
    return whole if runtime.decide(there is not None) else plan.build(whole.recipe, validation_only=True)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[-48:].strip("-") or "model"


def _log(path: Path, event: Event) -> None:
    row = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **event.record()}
    make_folder(path)
    with storage_errors(path), open(path / EVENTS, "a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write(path: Path, request: Request, found: dict[str, Outcome], hardware: dict[str, Any]) -> None:
    """scores.jsonl, rows and generations by evaluator, recipes of the measured run and of evaluators, manifest.json."""
    make_folder(path)
    run = request.measured.run
    if run is not None:
        shutil.copyfile(run / "filled.yaml", path / RECIPE)
    if request.recipe is not None:
        write_atomically(path / EVALUATORS, filled(request.recipe))
    for name, outcome in found.items():
        for kind in (ROWS, GENERATIONS):
            source = outcome.artifact.path / kind
            if source.is_file():
                write_jsonl(path / f"{name}.{kind}", read_jsonl(source))
    rows = ({"evaluator": name, **row} for name, o in found.items() for row in read_jsonl(o.artifact.path / SCORES))
    write_jsonl(path / SCORES, rows)
    model = request.evaluating.model
    manifest = {
        "model": {
            "name": request.measured.name,
            **model.what(),
            **asdict(models.identify(model)),
            "trained": [key for key, _ in request.measured.trained],
        },
        "evaluators": {
            name: {
                "options": outcome.stage.what["evaluator"],
                "key": outcome.stage.key,
                "artifact": f"{outcome.stage.name}/{outcome.stage.key}",
                **outcome.artifact.manifest["facts"],
            }
            for name, outcome in found.items()
        },
        "run": _made_with(run) if run else None,
        "recipe": request.recipe.title if request.recipe else None,
        "versions": versions(),
        "hardware": hardware,
        "plugins": plugin_files(request.evaluating.evaluators),
        "code": component_code(request.evaluating.evaluators),
        "command": evaluation_command(request.measured, request.evaluating, request.recipe is not None),
    }
    write_atomically(path / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))


def _made_with(run: Path) -> dict[str, Any] | None:
    """Of a run's manifest, why its model may be another than that of an equal recipe; None where it is lost."""
    try:
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        data = {"identity": manifest["data"]["identity"]}
        names = ("run_key", "model", "versions", "hardware", "plugins")
        stages = manifest["stages"]
        translated = next(own["key"] for own in stages if own["stage"] == "translate")
        trained = [
            {name: own[name] for name in ("stage", "artifact", "key", "hardware", "versions") if name in own}
            for own in stages
            if own["artifact"].startswith("train/")
        ]
        found = {"data": data, "translated": translated, "stages": trained, "code": manifest.get("code", {})}
        return {**found, **{name: manifest[name] for name in names}}
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None
