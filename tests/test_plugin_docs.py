"""The plugin that the how-to shows does what it says there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import langxfer
from langxfer import Pair, plugins
from langxfer.testing import check_evaluator, check_translator
from tests.house.source import ROOT


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    page = (ROOT / "docs" / "how-to.md").read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class Shouting" in block)
    path = tmp_path / "shouting.py"
    path.write_text(code, encoding="utf-8")
    return path


def test_its_components_pass_the_checks_that_it_names(plugin: Path) -> None:
    catalog = plugins.load([plugin])
    check_translator(catalog.lookup("translator", "upper").cls(keep=1), Pair("en", "de"))
    check_evaluator(catalog.lookup("evaluator", "shouting").cls())


def test_a_run_uses_them(plugin: Path, recipe: Path) -> None:
    changes = ["translator={name: upper, keep: 1}", "evaluators=[shouting]", "data.filters=[]"]
    loaded = langxfer.load_recipe(recipe, langxfer.load_plugins([plugin]), [*changes, "phases[0].training={steps: 1}"])
    found = langxfer.run(loaded.recipe, runs=recipe.parent / "runs")
    assert {score.name for score in found.after["shouting"]} == {"shouting/en", "shouting/de"}
    assert all(own.effect is not None for own in found.comparisons)
