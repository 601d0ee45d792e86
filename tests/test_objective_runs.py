"""Whole runs on a tiny model, one for each built-in objective: reference, training with validation, and a model."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import langxfer
from langxfer.data import read_jsonl
from langxfer.errors import DataError, RecipeError
from tests.processes import ENVIRONMENT, TWO

OBJECTIVES = {
    "sft": ("sft", 0.0),
    "dpo": ("dpo", math.log(2)),
    "dpo, smoothed": ("{name: dpo, label_smoothing: 0.1}", math.log(2)),
    "ipo": ("{name: dpo, preference: ipo, ratio_reduction: token_mean, beta: 0.5}", 1.0),
    "hinge": ("{name: dpo, preference: hinge}", 1.0),
    "clo, ipo": ("{name: clo, preference: ipo, lambda: 0, ratio_reduction: token_mean, beta: 0.5}", 2.0),
    "orpo": ("orpo", 0.0),
    "kto": ("kto", 0.5),
    "kto, all views": ("{name: kto, kl_views: [SS+1, ST+1, TS+1, TT+1], desirable_weight: 1.5}", 0.625),
    "cpo": ("cpo", 0.0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A recipe whose translation and encoding all tests share."""
    from tests.conftest import RECIPE, write_rows

    path = tmp_path_factory.mktemp("objectives")
    write_rows(path / "rows.jsonl")
    (path / "tiny.yaml").write_text(RECIPE.format(model=tiny))
    return path


def run(folder: Path, fake_plugin: Path, objective: str, *more: str, runs: Path | None = None) -> Any:
    sets = [f"phases[0].objective={objective}", "evaluators=[]", *more]
    recipe = langxfer.load_recipe(str(folder / "tiny.yaml"), langxfer.load_plugins([fake_plugin]), sets).recipe
    return langxfer.run(recipe, runs=runs or folder / "runs")


def rows(result: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of training steps, and of validations."""
    every = list(read_jsonl(result.path / "metrics.jsonl"))
    return [row for row in every if "loss" in row], [row for row in every if "validation/loss" in row]


@pytest.mark.parametrize(("objective", "first"), OBJECTIVES.values(), ids=OBJECTIVES)
def test_it_trains(folder: Path, fake_plugin: Path, objective: str, first: float) -> None:
    result = run(folder, fake_plugin, objective)
    steps, validations = rows(result)
    assert len(steps) == 10 and len(validations) == 4
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert (result.path / "model" / "model.safetensors").is_file()
    if first:  # what the loss is while the policy is the reference
        assert steps[0]["loss"] == pytest.approx(first, abs=1e-5)
    declared = bool(result.recipe.phases[0].objective.statistic_views)
    for row in (steps[0], steps[-1]):
        assert ("kl" in row) == declared
    for row in validations:
        assert ("validation/kl" in row) == declared
    if declared:
        assert steps[0]["kl"] == pytest.approx(0.0, abs=1e-4)
        assert all(abs(row["kl"]) > 1e-3 for row in steps[3:])


def test_run_takes_a_recipe_and_compare_several_runs(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"^run: found 'tiny.yaml'; expected a Recipe. langxfer.load_recipe\("):
        langxfer.run("tiny.yaml")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^two or more runs are compared, each named once; found .*tiny-1"):
        langxfer.compare_runs(folder / "tiny-1")


def test_plugin_files_are_recorded_without_the_command_line(folder: Path, fake_plugin: Path) -> None:
    manifest = json.loads((run(folder, fake_plugin, "sft").path / "manifest.json").read_text())
    assert manifest["plugins"] == [{"file": "fakes.py", "sha256": hashlib.sha256(fake_plugin.read_bytes()).hexdigest()}]


def test_sft_then_dpo_starts_from_the_sft_model(folder: Path, fake_plugin: Path) -> None:
    """The reference of the second phase is the result of the first, not the base model."""
    text = (folder / "tiny.yaml").read_text()
    head, _, tail = text.partition("phases:\n")
    training = "{learning_rate: 0.03, batch_size: 4, epochs: 2}"
    phases = [f"  - {{objective: {name}, selector: attention, training: {training}}}\n" for name in ("sft", "dpo")]
    tail = tail[tail.index("evaluators:") :]
    (folder / "two.yaml").write_text(head + "phases:\n" + "".join(phases) + tail)
    loaded = langxfer.load_recipe(str(folder / "two.yaml"), langxfer.load_plugins([fake_plugin]), ["evaluators=[]"])
    result = langxfer.run(loaded.recipe, runs=folder / "runs")
    steps, _ = rows(result)
    sft, dpo = ([row for row in steps if row["phase"] == number] for number in (0, 1))
    assert sft[-1]["loss"] < sft[0]["loss"] - 0.3  # the first phase went somewhere
    assert dpo[0]["loss"] == dpo[0]["preference"] == pytest.approx(math.log(2), abs=1e-6)
    assert dpo[-1]["loss"] < math.log(2) - 0.01
    made = {outcome.stage.label: outcome for outcome in result.outcomes}
    assert made["reference[1]"].stage.what["model"] == made["train[0] sft"].stage.key
    base = run(folder, fake_plugin, "dpo", "phases[0].training={learning_rate: 0.03, batch_size: 4, epochs: 2}")
    started, _ = rows(base)
    assert started[1]["loss"] != pytest.approx(dpo[1]["loss"], abs=1e-4)


def test_clo_and_dpo_share_a_reference_that_kto_cannot_use(folder: Path, fake_plugin: Path) -> None:
    def made(objective: str) -> dict[str, bool]:
        return {outcome.stage.name: outcome.made for outcome in run(folder, fake_plugin, objective).outcomes}

    made("dpo")
    assert not made("{name: clo, preference: hinge}")["reference"]
    assert made("{name: kto, kl_views: [ST+1]}") == {
        "translate": False, "encode": False, "quality": False, "reference": True, "train": True,
    }  # fmt: skip
    assert made("{name: kto, kl_views: [ST+1], beta: 0.3}")["reference"] is False


def test_budgets_give_the_same_kto(folder: Path, fake_plugin: Path, tmp_path: Path) -> None:
    """Nothing under ``compute`` is in a key, so the second run has artifacts of its own."""
    whole = rows(run(folder, fake_plugin, "{name: kto, beta: 0.7}"))
    cut = rows(run(folder, fake_plugin, "{name: kto, beta: 0.7}", "compute.tokens_per_micro_batch=16", runs=tmp_path))
    for own, expected in zip(cut[0], whole[0], strict=True):
        for name in ("loss", "kl", "grad_norm"):
            assert own[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-4), (own["step"], name)
    assert cut[1][-1]["validation/kl"] == pytest.approx(whole[1][-1]["validation/kl"], rel=2e-3, abs=2e-4)


def test_two_processes_give_the_kto_of_one(folder: Path, fake_plugin: Path, tmp_path: Path) -> None:
    """Four validation examples on two processes, and the KL is that of all of them."""
    whole = rows(run(folder, fake_plugin, "{name: kto, beta: 0.7}"))
    command = [
        sys.executable,
        *TWO,
        "-m",
        "langxfer",
        "run",
        str(folder / "tiny.yaml"),
        "--runs",
        str(tmp_path),
        "--json",
    ]
    command += ["--plugin", str(fake_plugin), "--set", "phases[0].objective={name: kto, beta: 0.7}"]
    command += ["--set", "evaluators=[]"]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = tmp_path.glob("tiny-*/metrics.jsonl")
    assert json.loads((path.parent / "manifest.json").read_text())["hardware"]["processes"] == 2
    every = [json.loads(line) for line in path.read_text().splitlines()]
    for own, expected in zip([row for row in every if "loss" in row], whole[0], strict=True):
        for name in ("loss", "kl", "grad_norm"):
            assert own[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-4), (own["step"], name)
    assert every[-1]["validation/kl"] == pytest.approx(whole[1][-1]["validation/kl"], rel=2e-3, abs=2e-4)


def test_a_single_validation_example_cannot_be_paired(folder: Path, fake_plugin: Path) -> None:
    with pytest.raises(DataError, match=r"validation examples: the only example of its language pair is row\d+/de"):
        run(folder, fake_plugin, "kto", "data.validation=1")
