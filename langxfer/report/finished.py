"""Finished runs and evaluations, read back from their folders for comparisons, reports and cards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langxfer.components import Evaluation, Score
from langxfer.data import read_jsonl
from langxfer.errors import DataError, LangxferError
from langxfer.recipe_text import RecipeText, Unreadable
from langxfer.report.comparison import Comparison, recorded

# Names of files; those of an evaluator have its name before them.
ROWS = "rows.jsonl"
GENERATIONS = "generations.jsonl"
SCORES = "scores.jsonl"  # of an evaluation; a run has scores.json
RECIPE = "run.yaml"  # of an evaluation of a run: the filled recipe of that run


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
        path = self.path / "metrics.jsonl"
        return list(read_jsonl(path)) if path.is_file() else []

    def answers(self, evaluator: str, when: str = "after") -> list[dict[str, Any]]:
        """What the model wrote for an evaluator: rows with id, language, prompt and answer; none where nothing was."""
        if self.kind == "evaluation":
            path = self.path / f"{evaluator}.{GENERATIONS}"
        else:
            path = self.path / "generations" / f"{evaluator}.{when}.{GENERATIONS}"
        return list(read_jsonl(path)) if path.is_file() else []

    def events(self) -> list[dict[str, Any]]:
        """What happened, in order, with its ``time``; of all times that the folder was worked on."""
        path = self.path / "events.jsonl"
        return list(read_jsonl(path)) if path.is_file() else []

    def text(self, name: str) -> str | None:
        """A text file of the folder; None where there is none."""
        path = self.path / name
        return path.read_text(encoding="utf-8") if path.is_file() else None

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
        records = _json(self.path / "scores.json").get("comparisons", ()) if pairs else ()
        before, after = ({n: own.scores for n, own in found.items()} for found in (self.before, self.after))
        return Scores(before, after, recorded(pairs, records))

    def translation(self) -> dict[str, Any]:
        """The quality report of the translated data; empty for an evaluation."""
        path = self.path / "translation.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


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
    try:
        recipe = _recipe(path / "filled.yaml")
        manifest = _json(path / "manifest.json")
        scores = _json(path / "scores.json")
        both = {when: _of_run(path, scores[when], when) for when in ("before", "after")}
        return Finished(path, str(recipe["title"]), recipe, manifest, both["before"], both["after"])
    except (Unreadable, OSError, ValueError, KeyError, TypeError, AttributeError, LangxferError) as error:
        raise DataError(
            f"{path}: the run folder is damaged ({type(error).__name__}: {error}). "
            "The same langxfer run writes it anew from its artifacts."
        ) from None


def score_of(row: Mapping[str, Any]) -> Score:
    """A score from its JSON values."""
    interval = row.get("interval")
    return Score(**{**row, "interval": None if interval is None else tuple(interval)})


def _evaluation(path: Path) -> Finished:
    try:
        scores: dict[str, list[Score]] = {}
        for row in read_jsonl(path / SCORES):
            scores.setdefault(row["evaluator"], []).append(score_of({k: v for k, v in row.items() if k != "evaluator"}))
        found = {name: Evaluation(own, list(read_jsonl(path / f"{name}.{ROWS}"))) for name, own in scores.items()}
        manifest = _json(path / "manifest.json")
        recipe = _recipe(path / RECIPE) if (path / RECIPE).is_file() else None
        return Finished(path, str(manifest["model"]["name"]), recipe, manifest, {}, found, "evaluation")
    except (Unreadable, OSError, ValueError, KeyError, TypeError, AttributeError, LangxferError) as error:
        raise DataError(
            f"{path}: the evaluation is damaged ({type(error).__name__}: {error}). "
            "The same langxfer evaluate writes it anew."
        ) from None


def _of_run(path: Path, scores: Mapping[str, list[dict[str, Any]]], when: str) -> dict[str, Evaluation]:
    return {
        name: Evaluation(
            [score_of(row) for row in own], list(read_jsonl(path / "generations" / f"{name}.{when}.{ROWS}"))
        )
        for name, own in scores.items()
    }


def _recipe(path: Path) -> Any:
    return RecipeText.read(str(path), path.read_text(encoding="utf-8")).values


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
