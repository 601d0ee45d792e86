"""A catalog with the plugin of these tests, and recipes loaded from text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from langxfer import plugins
from langxfer.errors import RecipeError
from langxfer.loading import LoadedRecipe, load_recipe
from tests.loading.texts import WORDS


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> plugins.Catalog:
    path = tmp_path_factory.mktemp("plugin") / "words.py"
    path.write_text(WORDS)
    return plugins.load([path])


@pytest.fixture
def load(tmp_path: Path, catalog: plugins.Catalog, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LoadedRecipe]:
    monkeypatch.chdir(tmp_path)

    def do(text: str, overrides: Sequence[str] = ()) -> LoadedRecipe:
        Path("r.yaml").write_text(text, encoding="utf-8")
        return load_recipe("r.yaml", catalog, overrides)

    return do


@pytest.fixture
def problems(load: Callable[..., LoadedRecipe]) -> Callable[..., list[str]]:
    def do(text: str, overrides: Sequence[str] = ()) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(text, overrides)
        return list(caught.value.problems)

    return do
