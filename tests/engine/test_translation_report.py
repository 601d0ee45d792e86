"""The report of a run: from the files of its translation, with its own key, and shown in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from langxfer import loading, plugins
from langxfer.data import Turn
from langxfer.engine import plan
from langxfer.engine.formats import Rejected, SourceRow
from langxfer.engine.translate import build_examples, write
from langxfer.engine.translation_report import JSON, PAGE, make_report
from langxfer.errors import RecipeError
from langxfer.recipe import Recipe
from langxfer.testing import FakeTranslator
from langxfer.testing.fakes import FakeTranslator as Fake
from langxfer.translation import open_pipeline
from langxfer.components import Pair


def loaded(path: Path, plugin: Path, *overrides: str) -> Recipe:
    return loading.load_recipe(str(path), plugins.load([plugin]), overrides).recipe
