"""Card and report say what the model was trained on, on what machine, whatever a later run of the recipe found."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import langxfer
from langxfer.report.card import model_card
from langxfer.report.finished import Finished, read_finished
from langxfer.report.html.page import run_page
from langxfer.report.made_by import dropped, made_by


@pytest.fixture
def finished(finished_run: langxfer.Run) -> Finished:
    found = read_finished(finished_run.path)
    return replace(found, manifest=copy.deepcopy(dict(found.manifest)))


def trains(finished: Finished) -> list[dict[str, Any]]:
    return [stage for stage in finished.manifest["stages"] if stage["artifact"].startswith("train/")]


def test_a_run_that_finds_everything_leaves_card_and_report_as_they_are(finished_run, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished_run.path.parent, runs)
    recipe, threads = finished_run.recipe, torch.get_num_threads()
    compute = recipe.compute.model_copy(update={"threads": 2})
    try:
        again = langxfer.run(recipe.model_copy(update={"compute": compute}), runs=runs)
    finally:
        torch.set_num_threads(threads)
    assert not again.did_work and read_finished(again.path).manifest["hardware"]["threads"] == 2
    old, new = ((path / "model" / "README.md").read_text() for path in (finished_run.path, again.path))
    assert "On 1 × cpu (1 threads) with torch" in new
    assert [line for line in new.splitlines() if line not in old.splitlines()] == ["  threads: 2"]  # of the recipe
    assert dict(run_page(read_finished(again.path)).facts)["hardware"].startswith("cpu, threads: 1, ")


def test_every_machine_and_version_is_named(finished: Finished) -> None:
    [stage] = trains(finished)
    other = copy.deepcopy(stage)
    other["hardware"] |= {"device": "cuda", "accelerator": "H200", "processes": 4}
    other["versions"] |= {"torch": "2.0", "langxfer": "0.0.9"}
    finished.manifest["stages"].append(other)
    recipe = {**finished.recipe, "phases": finished.recipe["phases"] * 2}
    finished = replace(finished, recipe=recipe)
    assert len(made_by(finished)) == 2
    card = model_card(finished)
    assert ", then on 4 × H200 with torch 2.0, transformers" in card and "pip install langxfer==0.0.9" in card
    facts = dict(run_page(finished).facts)
    assert "; then cuda, 4 processes, threads: 1" in facts["hardware"] and facts["langxfer"].endswith(", then 0.0.9")


def test_stages_of_before_this_was_kept_have_the_manifest_s(finished: Finished) -> None:
    for stage in trains(finished):
        del stage["hardware"], stage["versions"]
    finished.manifest["hardware"]["threads"] = 7
    assert "On 1 × cpu (7 threads)" in model_card(finished)


def test_a_model_that_cannot_be_counted_has_a_card(finished: Finished) -> None:
    for stage in trains(finished):
        stage["accounting"] = {"uncounted": "a row of 9 tokens is longer than its sliding window of 8"}
    assert "| not counted |" in model_card(finished)


def test_pairs_are_those_that_were_trained_on_and_what_was_dropped_is_added_up(finished: Finished) -> None:
    finished.manifest["data"] |= {"train": 20, "dropped": {"too long": 2, "empty": 1}}
    finished.manifest["encoded"] |= {"train": 17, "validation": 3, "dropped": {"too long": 3}}
    assert dropped(finished.manifest) == {"too long": 5, "empty": 1}
    card = model_card(finished)
    assert "17 training and 3 validation pairs" in card and "- 5: too long" in card and "- 1: empty" in card
    assert dict(run_page(finished).facts)["examples"] == "17 for training, 3 for validation"
