"""The run folder: cheap to make, enough to reproduce the run, and all that a person wants to look at.

recipe.yaml        as written            filled.yaml     with all defaults
plan.json          stages and keys       manifest.json   versions, digests, hardware, time, memory
events.jsonl       what happened         metrics.jsonl   a row per optimizer step and validation
scores.json        before and after      samples.md      answers side by side
translation.md     how good the data is  translation.json  the same for programs
generations/       every answer          dropped.jsonl   every row that was not used, and why
model/             the adapted model     README.md       (in model/) its card
report.html        all of it, to be read  figures/       its charts as SVG and PNG
tracking/          TensorBoard's files, and how far each tracker is (only with trackers)
adapters/phase-N/  the adapter of a phase (lora), to be put on the model that the phase started from
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.data import drop_partial_line, read_jsonl, write_jsonl
from langxfer.engine import model_files, stages, translation_report, weights
from langxfer.engine.models import licence_of
from langxfer.engine.plan import Plan, outlook
from langxfer.engine.plugin_files import component_code, plugin_files
from langxfer.engine.store import Store, digest, make_folder, storage_errors, write_atomically
from langxfer.engine.versions import versions
from langxfer.events import Event, Progress, StepFinished
from langxfer.recipe_text import filled
from langxfer.report.card import model_card
from langxfer.report.finished import EVENTS, GENERATIONS, ROWS, read_finished
from langxfer.report.html.writing import REPORT, write_run_report
from langxfer.report.samples import samples_page

if TYPE_CHECKING:
    from langxfer.components import Component
    from langxfer.engine.run import Run, Written
    from langxfer.engine.stages import Work
    from langxfer.recipe import Recipe


def name_of(recipe: Recipe, key: str) -> str:
    """Folder name of a run: its title for people, its key for truth."""
    return named(recipe.title, key)


def named(title: str, key: str) -> str:
    """``TITLE-KEY``, as a folder may be called."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:48] or "run"
    return f"{slug}-{key[:10]}"


class RunFolder:
    """Writes the folder of one run; only the main process has one."""

    def __init__(self, path: Path):
        self.path = path

    def begin(self, recipe: Recipe, plan: Plan, store: Store, written: Written | None) -> None:
        """Recipe and plan, before anything else happens."""
        make_folder(self.path)
        with storage_errors(self.path):
            drop_partial_line(self.path / EVENTS)
            if written is not None:
                write_atomically(self.path / "recipe.yaml", written.text)
            write_atomically(self.path / "filled.yaml", filled(recipe))
            rows = [
                {"stage": o.stage.label, "key": o.stage.key, "hit": o.hit, "reasons": o.reasons, "what": o.stage.what}
                for o in outlook(plan, store)
            ]
            write_atomically(self.path / "plan.json", json.dumps(rows, indent=1, ensure_ascii=False))
        self._written = written

    def event(self, event: Event) -> None:
        """Append an event; progress ticks and steps have their own places."""
        if isinstance(event, Progress | StepFinished):
            return
        row = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **event.record()}
        with storage_errors(self.path), open(self.path / EVENTS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def finish(self, run: Run, work: Work) -> None:
        """Everything else, from the artifacts. What is there and current is left as it is."""
        manifest = self._manifest(run, work)
        current = self._stored_model_key() == manifest["model_key"] and not model_files.problem(self.path / "model")
        write_jsonl(self.path / "dropped.jsonl", self._dropped(run))
        write_jsonl(self.path / "metrics.jsonl", self._metrics(run))
        self._scores(run)
        self._generations(run, work)
        self._translation(run)
        (self.path / "samples.md").write_text(samples_page(run, self.path / "generations"), encoding="utf-8")
        if not current:
            self._model(run, work)
            self._adapters(run)
        write_atomically(self.path / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False))
        finished = read_finished(self.path)
        write_atomically(self.path / "model" / "README.md", model_card(finished))
        write_run_report(finished, self.path / REPORT, run.comparisons)

    def _stored_model_key(self) -> str | None:
        try:
            return json.loads((self.path / "manifest.json").read_text(encoding="utf-8")).get("model_key")
        except (OSError, ValueError, AttributeError):
            return None

    def _model(self, run: Run, work: Work) -> None:
        temporary, final = self.path / "model.partial", self.path / "model"
        shutil.rmtree(temporary, ignore_errors=True)
        trained = [o.artifact.path / weights.TRAINED for o in run.outcomes if o.stage.name == "train"]
        weights.export(
            run.recipe.model, work.subject.folder, trained, run.recipe.compute, work.subject.encoder, temporary
        )
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)

    def _adapters(self, run: Run) -> None:
        trained = [o.artifact.path for o in run.outcomes if o.stage.name == "train"]
        for number, path in enumerate(trained):
            if (path / weights.ADAPTER).is_dir():
                target = self.path / "adapters" / f"phase-{number}"
                shutil.rmtree(target, ignore_errors=True)
                shutil.copytree(path / weights.ADAPTER, target)

    def _manifest(self, run: Run, work: Work) -> dict[str, Any]:
        recipe = run.recipe
        trains = [outcome.stage.key for outcome in run.outcomes if outcome.stage.name == "train"]
        return {
            "title": recipe.title,
            "run_key": work.plan.key,
            "model_key": digest([trains, recipe.model.what()]),
            "model": {
                "source": recipe.model.source,
                **asdict(work.plan.model),
                "licence": licence_of(work.subject.folder),
            },
            "data": {"identity": work.plan.translate.what["data"], **stages.facts_of(run.outcomes[0].artifact)},
            "encoded": stages.facts_of(run.outcomes[1].artifact),
            "seeds": {"data": recipe.data.seed, "training": [phase.training.seed for phase in recipe.phases]},
            "versions": versions(),
            "hardware": work.runtime.hardware(),
            "about": {f"{own.kind} {own.name}": _about(own) for own in recipe.components()},
            "overrides": list(self._written.overrides) if self._written else [],
            "plugins": plugin_files(recipe.components(), self._written.plugins if self._written else ()),
            "code": component_code(recipe.components()),
            "stages": [
                {
                    "stage": o.stage.label,
                    "key": o.stage.key,
                    "artifact": f"{o.stage.name}/{o.stage.key}",
                    **{k: v for k, v in stages.facts_of(o.artifact).items()},
                }
                for o in run.outcomes
            ],
        }

    def _dropped(self, run: Run) -> Iterator[dict[str, Any]]:
        for outcome in run.outcomes[:2]:
            for row in read_jsonl(outcome.artifact.path / "dropped.jsonl"):
                yield {"stage": outcome.stage.label, **row}

    def _metrics(self, run: Run) -> Iterator[dict[str, Any]]:
        trains = [outcome for outcome in run.outcomes if outcome.stage.name == "train"]
        for number, outcome in enumerate(trains):
            for row in read_jsonl(outcome.artifact.path / "metrics.jsonl"):
                yield {"phase": number, **row}

    def _scores(self, run: Run) -> None:
        scores: dict[str, Any] = {
            when: {name: [asdict(score) for score in own] for name, own in found.items()}
            for when, found in (("before", run.before), ("after", run.after))
        }
        scores["comparisons"] = [comparison.record() for comparison in run.comparisons]
        write_atomically(self.path / "scores.json", json.dumps(scores, indent=1, ensure_ascii=False, allow_nan=False))

    def _generations(self, run: Run, work: Work) -> None:
        target = self.path / "generations"
        target.mkdir(exist_ok=True)
        artifacts = {outcome.stage.key: outcome.artifact for outcome in run.outcomes}
        for pair in work.plan.evaluators:
            for when, stage in (("before", pair.before), ("after", pair.after)):
                for name in (GENERATIONS, ROWS):
                    source = artifacts[stage.key].path / name
                    if source.is_file():
                        shutil.copyfile(source, target / f"{pair.name}.{when}.{name}")

    def _translation(self, run: Run) -> None:
        artifact = next(outcome.artifact for outcome in run.outcomes if outcome.stage.name == "quality")
        for name in (translation_report.JSON, translation_report.PAGE):
            shutil.copyfile(artifact.path / name, self.path / name)


def _about(component: Component) -> str:
    """The first paragraph of its documentation, in one line."""
    return " ".join(inspect.cleandoc(type(component).__doc__ or "").partition("\n\n")[0].split())
