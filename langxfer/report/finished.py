"""Finished runs and evaluations, read back from their folders for comparisons, reports and cards."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langxfer.components import Evaluation, Score
from langxfer.data import read_jsonl
from langxfer.errors import DataError, LangxferError
from langxfer.recipe_text import RecipeText, Unreadable
from langxfer.report import contents
from langxfer.report.comparison import Comparison, recorded

if TYPE_CHECKING:
    from pydantic import BaseModel

# Names of files; those of an evaluator have its name before them.
ROWS = "rows.jsonl"
GENERATIONS = "generations.jsonl"
EVENTS = "events.jsonl"
SCORES = "scores.jsonl"  # of an evaluation; a run has scores.json
RECIPE = "run.yaml"  # of an evaluation of a run: the filled recipe of that run
EVALUATORS = "evaluators.yaml"  # of an evaluation by a recipe's evaluators: that recipe, filled


@dataclass(frozen=True)
class Scores:
    """Scores by evaluator, and what paired tests said of them."""

    before: Mapping[str, Sequence[Score]]
    after: Mapping[str, Sequence[Score]]
    comparisons: Sequence[Comparison]


@dataclass(frozen=True)
class Finished:
    """A run, or an evaluation by ``langxfer evaluate``, as its folder tells it.

    Attributes:
        path: the folder.
        title: the run's title, or the name of the model that was measured.
        recipe: the run's recipe with all defaults, as plain values; of an evaluation that of the run whose adapted
            model was measured; None for any other model.
        manifest: versions, digests, hardware, seeds, and time and memory of every stage. Of an evaluation of a run,
            ``run`` has what was used to make the model.
        before: of the unadapted model, by evaluator (the second of a name is ``NAME-2``); empty for an evaluation.
        after: of the adapted model, or of the one that was measured.
    """

    path: Path
    title: str
    recipe: Mapping[str, Any] | None
    manifest: Mapping[str, Any]
    before: Mapping[str, Evaluation]
    after: Mapping[str, Evaluation]
    kind: Literal["run", "evaluation"] = "run"

    def metrics(self) -> list[dict[str, Any]]:
        """Rows of training steps and of validations (keys ``validation/…``), each with its ``phase``; none without."""
        return self._lines("metrics.jsonl", contents.Metric)

    def answers(self, evaluator: str, when: str = "after") -> list[dict[str, Any]]:
        """What the model wrote for an evaluator: rows with id, language, prompt and answer; none where nothing was."""
        if self.kind == "evaluation":
            return self._lines(f"{evaluator}.{GENERATIONS}", contents.Answer)
        return self._lines(f"generations/{evaluator}.{when}.{GENERATIONS}", contents.Answer)

    def events(self) -> list[dict[str, Any]]:
        """What happened, in order, with its ``time``; of all times that the folder was worked on.

        Lines that a killed process left half written are passed over.
        """
        path = self.path / EVENTS
        with _damage(self.path, self.kind):
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        return [row for row in map(_event, text.split("\n")) if row is not None]

    def text(self, name: str) -> str | None:
        """A text file of the folder; None where there is none."""
        path = self.path / name
        with _damage(self.path, self.kind):
            return path.read_text(encoding="utf-8") if path.is_file() else None

    def _lines(self, name: str, kind: type[BaseModel]) -> list[dict[str, Any]]:
        path = self.path / name
        with _damage(self.path, self.kind):
            return contents.checked_rows(read_jsonl(path), kind, name) if path.is_file() else []

    def notes(self, when: str = "after") -> list[tuple[str, str]]:
        """What must be read beside the scores: names of evaluators, each with a sentence."""
        noted = [(name, note) for name, own in self._evaluations(when) for note in own.get("notes", ())]
        return [*((name, f"incomplete: {why}") for name, why in self.unfinished(when)), *noted]

    def unfinished(self, when: str = "after") -> list[tuple[str, str]]:
        """Evaluators that lack some of their items, such as contests on which a judge gave no verdict, with why."""
        return [(name, str(own["unfinished"])) for name, own in self._evaluations(when) if own.get("unfinished")]

    def _evaluations(self, when: str) -> list[tuple[str, Mapping[str, Any]]]:
        if self.kind == "evaluation":
            return [(own["options"]["name"], own) for own in self.manifest["evaluators"].values()]
        begin = f"evaluate {when}: "
        stages = [own for own in self.manifest["stages"] if own["stage"].startswith(begin)]
        return [(own["stage"].removeprefix(begin), own) for own in stages]

    def scores(self) -> Scores:
        """All scores, with the tests that the run made; none for an evaluation."""
        pairs = [(self.before[name], own) for name, own in self.after.items() if name in self.before]
        records = _run_scores(self.path).get("comparisons", ()) if pairs else ()
        before, after = ({n: own.scores for n, own in found.items()} for found in (self.before, self.after))
        return Scores(before, after, recorded(pairs, records))

    def translation(self) -> dict[str, Any]:
        """The quality report of the translated data; empty for an evaluation."""
        name = "translation.json"
        with _damage(self.path, self.kind):
            found = (self.path / name).is_file()
            return contents.checked(_json(self.path / name), contents.Translation, name) if found else {}


def read_finished(path: Path) -> Finished:
    """Read the folder of a run or of an evaluation.

    Raises:
        DataError: it is neither, or not finished, or damaged.
    """
    if (path / SCORES).is_file():
        return _evaluation(path)
    if not (path / "filled.yaml").is_file():
        raise DataError(
            f"{path} is neither a run folder (no filled.yaml) nor one that langxfer evaluate has written (no {SCORES})."
        )
    if not (path / "manifest.json").is_file():
        raise DataError(f"{path}: the run is not finished. Go on with it by the same langxfer run.")
    with _damage(path, "run"):
        recipe = _recipe(path / "filled.yaml")
        manifest = contents.checked(_json(path / "manifest.json"), contents.RunManifest, "manifest.json")
        contents.check_together(manifest, recipe["phases"])
        scores = _run_scores(path)
        both = {when: _of_run(path, scores[when], when) for when in ("before", "after")}
        return Finished(path, str(recipe["title"]), recipe, manifest, both["before"], both["after"])


@contextmanager
def _damage(path: Path, kind: str) -> Iterator[None]:
    """Whatever a damaged file leads to is an error that says what to do."""
    try:
        yield
    except (Unreadable, OSError, ValueError, KeyError, TypeError, AttributeError, LangxferError) as error:
        what = "run folder" if kind == "run" else "evaluation"
        again = "run writes it anew from its artifacts" if kind == "run" else "evaluate writes it anew"
        raise DataError(
            f"{path}: the {what} is damaged ({type(error).__name__}: {error}). The same langxfer {again}."
        ) from None


def score_of(row: Mapping[str, Any]) -> Score:
    """A score from its JSON values."""
    interval = row.get("interval")
    return Score(**{**row, "interval": None if interval is None else tuple(interval)})


def _evaluation(path: Path) -> Finished:
    with _damage(path, "evaluation"):
        scores: dict[str, list[Score]] = {}
        for row in contents.checked_rows(read_jsonl(path / SCORES), contents.ScoreLine, SCORES):
            scores.setdefault(row["evaluator"], []).append(score_of({k: v for k, v in row.items() if k != "evaluator"}))
        found = {name: Evaluation(own, _rows(path / f"{name}.{ROWS}")) for name, own in scores.items()}
        manifest = contents.checked(_json(path / "manifest.json"), contents.EvaluationManifest, "manifest.json")
        recipe = _recipe(path / RECIPE) if (path / RECIPE).is_file() else None
        return Finished(path, str(manifest["model"]["name"]), recipe, manifest, {}, found, "evaluation")


def _run_scores(path: Path) -> Any:
    with _damage(path, "run"):
        return contents.checked(_json(path / "scores.json"), contents.RunScores, "scores.json")


def _of_run(path: Path, scores: Mapping[str, list[dict[str, Any]]], when: str) -> dict[str, Evaluation]:
    return {
        name: Evaluation([score_of(row) for row in own], _rows(path / "generations" / f"{name}.{when}.{ROWS}"))
        for name, own in scores.items()
    }


def _rows(path: Path) -> list[dict[str, Any]]:
    return contents.checked_rows(read_jsonl(path), contents.Item, path.name)


def _event(line: str) -> dict[str, Any] | None:
    """An event as the run wrote it; None for anything else."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(row, dict) and {"time", "event"} <= row.keys() and isinstance(row["time"], str)
    return row if whole and (row["event"] != "Notice" or isinstance(row.get("message"), str)) else None


def _recipe(path: Path) -> Any:
    values = RecipeText.read(str(path), path.read_text(encoding="utf-8")).values
    return contents.checked(values, contents.FilledRecipe, path.name)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
