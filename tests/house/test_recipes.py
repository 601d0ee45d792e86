"""Every recipe that comes with langxfer loads, passes ``check``, and baselines are comparable with CLO."""

from __future__ import annotations

from pathlib import Path

import pytest

from langxfer import plugins
from langxfer.engine.check import check
from langxfer.loading import load_recipe
from langxfer.plugins import Catalog
from langxfer.recipe import Recipe
from tests.house.source import ROOT


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return plugins.load()


@pytest.fixture(scope="module")
def recipes(catalog: Catalog) -> dict[str, Recipe]:
    """All registered ones by name."""
    return {name: load_recipe(name, catalog).recipe for name in catalog.recipes}


def test_every_file_is_registered_or_known_to_be_no_recipe(catalog: Catalog) -> None:
    registered = {path for path, _ in catalog.recipes.values()}
    others = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "recipes").rglob("*.yaml") if path not in registered
    }
    sweeps = {"recipes/paper/llama-2-7b-sizes.yaml", "recipes/paper/llama-3-8b-sizes.yaml"}
    assert others == {"recipes/paper/experiments.yaml", "recipes/paper/published.yaml", *sweeps}


def test_every_recipe_is_called_as_its_file(recipes: dict[str, Recipe]) -> None:
    for name, recipe in recipes.items():
        assert recipe.title == name.removeprefix("paper/").replace("/", "-"), name


def test_every_recipe_passes_check(recipes: dict[str, Recipe], tmp_path: Path) -> None:
    for name, recipe in recipes.items():
        problems = [finding for finding in check(recipe, tmp_path) if finding.verdict == "problem"]
        assert not problems, name


def test_baselines_differ_from_clo_in_title_and_phases_only(recipes: dict[str, Recipe]) -> None:
    for name, recipe in recipes.items():
        if name == "quickstart":
            continue  # another model and other data, to be small
        folder, _, file = name.rpartition("/")
        clo = recipes[f"{folder}/{file.partition('-')[0]}-clo" if folder else "clo"]
        phases = {"title", "phases"}
        assert recipe.model_dump(exclude=phases) == clo.model_dump(exclude=phases), name
