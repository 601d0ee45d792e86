"""What a folder tells of its run is what the run itself returned."""

from __future__ import annotations

from pathlib import Path

import pytest

import langxfer
from langxfer.errors import DataError
from langxfer.report.finished import Finished, read_finished
from tests.conftest import RECIPE, write_rows

TWICE = """
  - {name: language_fidelity, max_new_tokens: 2, temperature: 0}
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, tiny: Path, fake_plugin: Path) -> langxfer.Run:
    """A run with two evaluators of one name."""
    folder = tmp_path_factory.mktemp("finished")
    write_rows(folder / "rows.jsonl")
    text = RECIPE.format(model=tiny).replace("epochs: 2", "steps: 2")
    (folder / "tiny.yaml").write_text(text.replace("\ncompute:", TWICE + "compute:"))
    catalog = langxfer.load_plugins([fake_plugin])
    return langxfer.run(langxfer.load_recipe(str(folder / "tiny.yaml"), catalog).recipe, runs=folder / "runs")


@pytest.fixture
def read(result: langxfer.Run) -> Finished:
    return read_finished(result.path)


def test_scores_and_rows_of_both_evaluators_of_a_name_are_kept(result, read):
    assert list(read.after) == list(result.after) == ["language_fidelity", "held_out", "language_fidelity-2"]
    for when, own in (("before", result.before), ("after", result.after)):
        assert {name: list(found.scores) for name, found in getattr(read, when).items()} == own
    first, second = (read.answers(name) for name in ("language_fidelity", "language_fidelity-2"))
    assert max(row["tokens"] for row in second) == 2 < max(row["tokens"] for row in first)
    assert [row["id"] for row in read.after["language_fidelity-2"].rows] == [row["id"] for row in second]


def test_recipe_metrics_and_translation_come_with_it(result, read):
    assert read.title == result.recipe.title == read.recipe["title"]
    assert [row["step"] for row in read.metrics() if "loss" in row] == [1, 2]
    assert any("validation/loss" in row for row in read.metrics())
    assert (
        read.translation()["pairs"][0]["kept"] == read.manifest["data"]["train"] + read.manifest["data"]["validation"]
    )


@pytest.mark.parametrize("name", ["scores.json", "manifest.json", "filled.yaml"])
def test_a_damaged_folder_is_an_error_that_says_what_to_do(result, tmp_path, name):
    copy = tmp_path / "run"
    copy.mkdir()
    for path in ("scores.json", "manifest.json", "filled.yaml"):
        (copy / path).write_bytes((result.path / path).read_bytes())
    (copy / name).write_text("{" if name.endswith("json") else "[")
    with pytest.raises(DataError, match=r"damaged.*writes it anew"):
        read_finished(copy)


def test_a_run_that_is_not_finished_is_no_finished_run(result, tmp_path):
    (tmp_path / "filled.yaml").write_bytes((result.path / "filled.yaml").read_bytes())
    with pytest.raises(DataError, match="not finished"):
        read_finished(tmp_path)
