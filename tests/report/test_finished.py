"""What a folder tells of its run is what the run itself returned."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import langxfer
from langxfer.data import read_jsonl
from langxfer.errors import DataError
from langxfer.report.card import model_card
from langxfer.report.finished import Finished, read_finished
from langxfer.report.html.writing import write_report
from langxfer.report.public import PublicRun
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


@pytest.fixture
def damaged(result: langxfer.Run, tmp_path: Path) -> Path:
    """A copy of the folder, to be damaged."""
    shutil.copytree(result.path, tmp_path / "run")
    return tmp_path / "run"


def report_on(folder: Path) -> None:
    """Whatever reads a folder: the report, a card, what is published."""
    write_report(folder)
    PublicRun(read_finished(folder)).report  # noqa: B018
    model_card(read_finished(folder))


def rewritten(path: Path, change: Callable[[Any], Any]) -> None:
    if path.suffix == ".jsonl":
        rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(json.dumps(change(json.loads(path.read_text()))))


def wrong_value(scores: Any) -> Any:
    scores["after"]["held_out"][0]["value"] = "high"
    return scores


def without_key(manifest: Any) -> Any:
    return {name: value for name, value in manifest.items() if name != "versions"}


def without_training(manifest: Any) -> Any:
    return {**manifest, "stages": [own for own in manifest["stages"] if not own["artifact"].startswith("train/")]}


ROWS = "generations/held_out.after.rows.jsonl"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("manifest.json", lambda value: {}, "manifest.json, run_key: Field required"),
        ("manifest.json", lambda value: [], "manifest.json: Input should be a valid dictionary"),
        ("manifest.json", without_key, "manifest.json, versions: Field required"),
        ("manifest.json", without_training, "manifest.json has 0 training stages, and filled.yaml 1 phases"),
        ("scores.json", wrong_value, r"scores.json, after.held_out.0.value: Input should be a valid number"),
        ("scores.json", lambda value: [], "scores.json: Input should be"),
        (
            ROWS,
            lambda row: {name: own for name, own in row.items() if name != "id"},
            "rows.jsonl, 0.id: Field required",
        ),
        (ROWS, lambda row: 3, "rows.jsonl, 0: Input should be"),
        (ROWS, lambda row: {**row, "score": "high"}, "rows.jsonl, 0.score"),
        ("generations/language_fidelity.after.generations.jsonl", lambda row: {}, "0.id: Field required"),
        ("metrics.jsonl", lambda row: {**row, "loss": "low"}, "metrics.jsonl, 0.loss"),
        ("translation.json", lambda value: {"pairs": [{}]}, "translation.json, translator: Field required"),
    ],
)
def test_what_is_json_but_not_what_a_run_writes(damaged: Path, name: str, change: Callable[[Any], Any], said: str):
    rewritten(damaged / name, change)
    with pytest.raises(DataError, match=rf"damaged.*{said}.*The same langxfer run writes it anew"):
        report_on(damaged)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("filled.yaml", b"title: tiny\n"),
        ("filled.yaml", b""),
        ("recipe.yaml", b"# caf\xe9\n"),
        ("translation.json", b'{"pairs": ['),
        ("metrics.jsonl", b'{"phase": 0, "st'),
        ("scores.json", b"{}"),
    ],
)
def test_files_that_were_cut_or_are_no_text(damaged: Path, name: str, content: bytes):
    (damaged / name).write_bytes(content)
    with pytest.raises(DataError, match=r"damaged.*The same langxfer run writes it anew"):
        report_on(damaged)


def test_lines_of_events_that_are_none_are_passed_over(damaged: Path):
    events = read_finished(damaged).events()
    with open(damaged / "events.jsonl", "ab") as file:
        file.write(b'{"time": "2026-01-01T0{"time": 3, "event": "Notice"}\n[]\n{"event": "Notice"}\n{"time": "caf\xc3')
    assert read_finished(damaged).events() == events and events
    report_on(damaged)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model" / "model.safetensors").unlink(),
        lambda folder: cut(folder / "model" / "model.safetensors"),
        lambda folder: cut(folder / "events.jsonl"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
    ],
)
def test_the_same_run_mends_its_folder(result: langxfer.Run, tmp_path: Path, damage: Callable[[Path], Any]):
    shutil.copytree(result.path.parent, tmp_path / "runs")
    folder = tmp_path / "runs" / result.path.name
    damage(folder)
    again = langxfer.run(result.recipe, runs=tmp_path / "runs")
    assert again.path == folder and not again.did_work
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (result.path / weights).read_bytes()
    assert all(isinstance(row, dict) for row in read_jsonl(folder / "events.jsonl"))
    assert (folder / "manifest.json").stat().st_size > 1000


def test_an_evaluation_that_was_cut(tmp_path: Path):
    (tmp_path / "scores.jsonl").write_text('{"evaluator": "held_out", "name": "held_out/de", "value": "high"}\n')
    with pytest.raises(DataError, match=r"scores.jsonl, 0.value.*The same langxfer evaluate writes it anew"):
        read_finished(tmp_path)
    (tmp_path / "scores.jsonl").write_text("")
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(DataError, match=r"manifest.json: .*The same langxfer evaluate writes it anew"):
        read_finished(tmp_path)


@pytest.mark.parametrize("damage", [{"versions": None}, {"model": {"source": "x"}}, {"data": None}, {"code": []}])
def test_an_evaluation_of_a_run_of_which_not_enough_is_left(tmp_path: Path, damage: dict[str, Any]):
    hardware = {"device": "cpu", "processes": 1, "system": "s", "machine": "m"}
    made = {"model": {"source": "x", "weights": "w"}, "data": {"identity": {}}, "versions": {}, "hardware": hardware}
    manifest = {"model": {"name": "x", "source": "x"}, "evaluators": {}, "versions": {}, "hardware": hardware}
    (tmp_path / "scores.jsonl").write_text("")
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "run": made}))
    assert read_finished(tmp_path).kind == "evaluation"
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "run": {**made, **damage}}))
    with pytest.raises(DataError, match=r"manifest.json, run\..*The same langxfer evaluate writes it anew"):
        read_finished(tmp_path)


def test_a_run_that_is_not_finished_is_no_finished_run(result, tmp_path):
    (tmp_path / "filled.yaml").write_bytes((result.path / "filled.yaml").read_bytes())
    with pytest.raises(DataError, match="not finished"):
        read_finished(tmp_path)
