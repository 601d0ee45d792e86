"""Relative paths in the options of every component are taken from the folder of the recipe."""

from __future__ import annotations

from pathlib import Path

import langxfer

PLUGIN = """
from pathlib import Path
from typing import Literal

from langxfer import Selector, hookimpl
from langxfer.builtin.objectives import Sft


class Weighted(Sft):
    name: Literal["weighted"] = "weighted"
    weights: Path

    def resolve(self, folder):
        return self.model_copy(update={"weights": folder / self.weights})


class Listed(Selector):
    name: Literal["listed"] = "listed"
    names: Path

    def select(self, parameters):
        return frozenset(self.names.read_text().split())

    def resolve(self, folder):
        return self.model_copy(update={"names": folder / self.names})


@hookimpl
def register_objectives():
    return [Weighted]


@hookimpl
def register_selectors():
    return [Listed]
"""

RECIPE = """\
title: a test
model: {source: org/tiny}
data: {source: org/pairs, format: parallel, target_languages: [de]}
phases:
  - {objective: {name: weighted, weights: w.json}, selector: {name: listed, names: sub/n.txt}, training: {steps: 7}}
  - {objective: sft, selector: full}
"""


def test_objectives_and_selectors_are_resolved(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own.py").write_text(PLUGIN)
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = langxfer.load_recipe(str(tmp_path / "r.yaml"), langxfer.load_plugins([tmp_path / "own.py"])).recipe
    first, second = recipe.phases
    assert first.objective.weights == tmp_path / "w.json"  # type: ignore[attr-defined]
    assert first.selector.names == tmp_path / "sub" / "n.txt"  # type: ignore[attr-defined]
    assert first.training.steps == 7
    assert (second.objective.name, second.selector.name) == ("sft", "full")
