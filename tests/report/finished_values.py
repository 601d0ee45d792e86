"""Finished runs as values, made up: two evaluators, items that are right or wrong."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langxfer.components import Evaluation, Score
from langxfer.report.finished import Finished
from langxfer.statistics import percentage

RECIPE: dict[str, Any] = {
    "title": "clo",
    "model": {"source": "org/model", "dtype": "float32"},
    "data": {"source": "rows.jsonl", "limit": 400},
    "translator": {"name": "m2m100", "beam_size": 5},
    "quality": {"samples": 3},
    "phases": [
        {
            "objective": {"name": "clo", "beta": 0.1},
            "selector": {"name": "attention"},
            "training": {"learning_rate": 5e-5, "seed": 0},
        }
    ],
    "evaluators": [{"name": "belebele", "limit": 20}],
    "compute": {"threads": 1},
}
MANIFEST: dict[str, Any] = {
    "model": {"weights": "w1", "tokenizer": "t1"},
    "data": {"identity": {"sha256": "d1", "format": "parallel"}},
    "versions": {"torch": "2.7", "langxfer": "0.1.0"},
    "hardware": {"device": "cpu"},
    "stages": [],
    "plugins": [],
}
# Right answers to 20 questions.
HALF, MOST = [1, 0] * 10, [1] * 18 + [0] * 2


def shares(name: str, right: Mapping[str, Sequence[int]], how: str = "shots:0", start: int = 0) -> Evaluation:
    """An evaluation with a score and rows for each language; ids of items begin at ``start``."""
    scores, rows = [], []
    for language, own in right.items():
        value, error = percentage(sum(own), len(own))
        scores.append(Score(f"{name}/{language}", value, error, len(own), f"{how}|n:{len(own)}|langxfer:0.1.0", "%"))
        rows += [{"id": f"{at}/{language}", "language": language, "score": s} for at, s in enumerate(own, start)]
    return Evaluation(scores, rows)


def finished(
    title: str, after: Mapping[str, Evaluation], changes: Mapping[str, Any] | None = None, **others: Any
) -> Finished:
    """A run; ``changes`` are paths of the recipe (``data.limit``) or, with ``manifest.`` before them, of that."""
    recipe, manifest = copy.deepcopy(RECIPE), copy.deepcopy(MANIFEST)
    for path, value in {"title": title, **(changes or {})}.items():
        here: Any = {**recipe, "manifest": manifest}
        *steps, last = path.split(".")
        for step in steps:
            here = here[int(step)] if isinstance(here, list) else here[step]
        (recipe if not steps else here)[last] = value
    values = {"recipe": recipe, "manifest": manifest, "before": {}, **others}
    return Finished(path=Path(f"runs/{title}-0123"), title=title, after=after, **values)
