"""Whole runs on a tiny model: real processes, real files, real kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from langxfer.data import read_jsonl
from langxfer.engine import sources
from langxfer.recipe import Data
from tests.processes import ENVIRONMENT, TWO

KILLER = r'''
"""Kills the process at the n-th event of a stage."""
import os, signal
from langxfer import hookimpl

STAGE, COUNT = os.environ.get("KILL_STAGE", ""), int(os.environ.get("KILL_AT", "0"))
seen = 0

@hookimpl
def observe(event):
    global seen
    if hasattr(event, "steps"):
        with open("steps", "a") as file:
            file.write(f"{event.step}\n")
    if STAGE and getattr(event, "stage", "").startswith(STAGE):
        seen += 1
        if seen == COUNT:
            os.kill(os.getpid(), signal.SIGKILL)
'''


def langxfer(
    recipe: Path, plugins: list[Path], *arguments: str, environment: dict[str, str] | None = None, verb: str = "run"
):
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "langxfer", verb, str(recipe), "--runs", str(recipe.parent / "runs"), *arguments]
    command += [part for plugin in plugins for part in ("--plugin", str(plugin))]
    own = {**os.environ, **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, env=own, cwd=recipe.parent, timeout=300, check=False)


def weights(recipe: Path) -> dict[str, bytes]:
    """Key of every finished train stage below the recipe's runs -> its trained weights."""
    return {
        path.parent.name: path.read_bytes() for path in recipe.parent.glob("runs/artifacts/train/*/trained.safetensors")
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny: Path, fake_plugin: Path):
    """A finished run: its recipe, and what the process printed."""
    from tests.conftest import RECIPE, write_rows

    folder = tmp_path_factory.mktemp("uninterrupted")
    write_rows(folder / "rows.jsonl")
    recipe = folder / "tiny.yaml"
    recipe.write_text(RECIPE.format(model=tiny))
    cache = {"LANGXFER_CACHE": str(folder / "cache")}
    result = langxfer(recipe, [fake_plugin], "--json", environment=cache)
    assert result.returncode == 0, result.stderr
    return recipe, json.loads(result.stdout), cache


def test_a_run_leaves_everything_in_its_folder(uninterrupted):
    recipe, summary, _ = uninterrupted
    folder = Path(summary["run"]) if Path(summary["run"]).is_absolute() else recipe.parent / summary["run"]
    names = "recipe.yaml filled.yaml plan.json manifest.json events.jsonl metrics.jsonl scores.json samples.md"
    for name in (
        *names.split(),
        *("dropped.jsonl", "translation.md", "translation.json"),
        *(f"model/{own}" for own in ("README.md", "chat_template.jinja", "generation_config.json")),
    ):
        assert (folder / name).is_file(), name
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["data"]["train"] == 20 and manifest["data"]["validation"] == 4
    assert {stage["stage"].split()[0] for stage in manifest["stages"]} >= {
        "translate",
        "encode",
        "reference[0]",
        "train[0]",
    }
    assert all(stage["seconds"] >= 0 and stage["peak_memory"] > 1e6 for stage in manifest["stages"])
    assert manifest["plugins"][0]["file"] == "fakes.py" and len(manifest["plugins"][0]["sha256"]) == 64
    steps = [row for row in read_jsonl(folder / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 11))
    assert steps[0]["preference"] == pytest.approx(2 * 0.6931471805599453, abs=2e-6)
    assert steps[-1]["loss"] < steps[0]["loss"]
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["before"].keys() == scores["after"].keys() == {"language_fidelity", "held_out"}
    assert all(score["signature"] for own in scores["after"].values() for score in own)
    text = "".join(path.read_text() for path in folder.rglob("*.md"))
    assert str(recipe.parent) not in (folder / "model" / "README.md").read_text() and "tiny" in text


def test_the_model_loads_anywhere_and_holds_the_trained_weights(uninterrupted):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    recipe, summary, _ = uninterrupted
    folder = recipe.parent / summary["model"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template
    (trained,) = recipe.parent.glob("runs/artifacts/train/*/trained.safetensors")
    found = dict(model.named_parameters())
    for name, value in load_file(trained).items():
        assert torch.equal(found[name], value), name


def test_a_second_run_does_no_work_and_says_so(uninterrupted, fake_plugin):
    recipe, _, cache = uninterrupted
    result = langxfer(recipe, [fake_plugin], environment=cache)
    assert result.returncode == 0, result.stderr
    assert "Nothing to do" in result.stdout
    assert "start" not in result.stderr


def test_flops_are_planned_counted_and_timed(uninterrupted, fake_plugin):
    """What ``plan`` says before is what the stages say after; the steps in the log add up to it."""
    recipe, summary, cache = uninterrupted
    facts = {stage["stage"]: stage.get("accounting") for stage in summary["stages"]}
    planned = langxfer(recipe, [fake_plugin], "--json", environment=cache, verb="plan")
    assert planned.returncode == 0, planned.stderr
    cost = json.loads(planned.stdout)["cost"]
    (phase,) = cost["phases"]
    train, reference = facts["train[0] clo"], facts["reference[0]"]
    assert phase["exact"] and cost["uncounted"] is None
    assert phase["passes"] == {**train["passes"], **reference["passes"]}
    assert phase["flops"] == train["flops"] + reference["flops"]
    assert phase["least_seconds"] == pytest.approx(phase["flops"] / train["matmul_flops_per_second"])
    steps = [row for row in read_jsonl(next(recipe.parent.glob("runs/tiny-*/metrics.jsonl"))) if "loss" in row]
    assert sum(row["flops"] for row in steps) == train["timed_flops"] < train["flops"]  # validation is not timed
    assert train["timed_seconds"] == pytest.approx(sum(row["seconds"] for row in steps))
    for found in (train, reference):
        assert found["matmul_share"] == found["flops_per_second"] / found["matmul_flops_per_second"] > 0
    printed = langxfer(recipe, [fake_plugin], environment=cache).stdout
    assert "train[0] clo: " in printed and "% of that machine's matmul" in printed
    table = langxfer(recipe, [fake_plugin], environment=cache, verb="plan").stdout
    assert all(word in table for word in ("FLOP in all, at least", "training", "validation", "reference", "head"))


def test_sft_shares_translation_encoding_and_the_evaluation_before(uninterrupted, fake_plugin):
    recipe, summary, cache = uninterrupted
    result = langxfer(recipe, [fake_plugin], "--json", "--set", "phases[0].objective=sft", environment=cache)
    assert result.returncode == 0, result.stderr
    made = {stage["stage"]: stage["made"] for stage in json.loads(result.stdout)["stages"]}
    assert not made["translate"] and not made["encode"] and not made["evaluate before: held_out"]
    assert made["train[0] sft"] and made["evaluate after: held_out"]
    keys = {stage["stage"]: stage["key"] for stage in summary["stages"]}
    assert keys["encode"] == {s["stage"]: s["key"] for s in json.loads(result.stdout)["stages"]}["encode"]


KILLS = {"translate": 2, "encode": 4, "evaluate before": 2, "reference": 2, "train": 5, "evaluate after": 2}


def test_killed_in_every_stage_it_resumes_to_the_same_weights(uninterrupted, recipe, fake_plugin, tmp_path):
    killer = tmp_path / "killer.py"
    killer.write_text(KILLER)
    killed = ""
    for stage, at in KILLS.items():
        stopped = langxfer(recipe, [fake_plugin, killer], environment={"KILL_STAGE": stage, "KILL_AT": str(at)})
        assert stopped.returncode == -signal.SIGKILL, (stage, stopped.stderr)
        assert not killed or f"resume {killed}" in stopped.stderr
        killed = stage
    last = langxfer(recipe, [fake_plugin, killer], "--json")
    assert last.returncode == 0, last.stderr
    assert f"resume {killed}" in last.stderr
    made = {entry["stage"]: entry["made"] for entry in json.loads(last.stdout)["stages"]}
    assert made.pop("evaluate after: language_fidelity") and made.pop("evaluate after: held_out")
    assert not any(made.values())
    assert weights(recipe) and weights(recipe).items() <= weights(uninterrupted[0]).items()
    rows = [row["step"] for row in read_jsonl(next(recipe.parent.glob("runs/tiny-*/metrics.jsonl"))) if "loss" in row]
    assert rows == list(range(1, 11))
    (key,) = weights(recipe)
    own, other = (
        json.loads((where.parent / f"runs/artifacts/train/{key}/manifest.json").read_text())["facts"]["accounting"]
        for where in (recipe, uninterrupted[0])
    )
    assert own["passes"] == other["passes"] and own["timed_flops"] == other["timed_flops"]  # every step once
    # It went on after the checkpoint of step 2, not from the beginning.
    assert (tmp_path / "steps").read_text().split() == [*map(str, [1, 2, 3]), *map(str, range(3, 11))]


def test_ctrl_c_says_that_nothing_is_lost(recipe, fake_plugin, tmp_path):
    plugin = tmp_path / "interrupt.py"
    plugin.write_text(KILLER.replace("SIGKILL", "SIGINT"))
    stopped = langxfer(recipe, [fake_plugin, plugin], environment={"KILL_STAGE": "encode", "KILL_AT": "1"})
    assert stopped.returncode == 130
    assert "stopped; what is finished is kept, and the same command goes on from here" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_the_best_of_one_validation_is_refused(recipe, fake_plugin):
    options = ("--set", "phases[0].training.keep=best", "--set", "phases[0].training.validate_every=null")
    alone = langxfer(recipe, [fake_plugin], *options)
    assert alone.returncode == 2
    said = "phases[0].training.keep: best chooses among validations, and without validate_every there is but one"
    assert said in " ".join(alone.stderr.split())


def test_validation_examples_that_cannot_be_encoded_are_missed_before_training(recipe, fake_plugin):
    """Of 24 rows every other one is too long, and the one that is held out is one of them."""
    path = recipe.parent / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [{**row, "output": row["output"] * (100 if n % 2 else 1)} for n, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    long = {row["id"] for row in rows[1::2]}
    data = Data(source=str(path), format="alpaca", target_languages=("de",), validation=1)
    read, _ = sources.read(data)
    seeds = (
        seed for seed in range(100) if sources.split(read, data.model_copy(update={"seed": seed}))[1][0].id in long
    )
    options = {"data.validation": 1, "data.seed": next(seeds), "data.max_length": 400}
    options |= {"phases[0].training.keep": "best", "phases[0].training.validate_every": 1}
    arguments = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    lost = langxfer(recipe, [fake_plugin], *arguments)
    assert lost.returncode == 2
    assert "no validation example can be encoded. Dropped: longer than max_length (12)" in " ".join(lost.stderr.split())


def test_two_processes_give_the_result_of_one(uninterrupted, recipe, fake_plugin):
    import torch
    from safetensors.torch import load

    command = [sys.executable, *TWO, "-m", "langxfer", "run", str(recipe), "--runs", str(recipe.parent / "runs")]
    command += ["--plugin", str(fake_plugin), "--json"]
    environment = {**os.environ, **ENVIRONMENT}
    result = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=recipe.parent, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    printed = json.loads(result.stdout)  # one process prints
    assert printed["did_work"]
    assert json.loads(Path(printed["run"], "manifest.json").read_text())["hardware"]["processes"] == 2
    ((key, two),) = weights(recipe).items()
    found, expected = load(two), load(weights(uninterrupted[0])[key])
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-4)


def test_a_corrupt_artifact_is_made_again(uninterrupted, fake_plugin, tmp_path):
    shutil.copytree(uninterrupted[0].parent, tmp_path / "copy")
    recipe = tmp_path / "copy" / "tiny.yaml"
    expected = weights(recipe)
    keys = {stage["stage"]: stage["key"] for stage in uninterrupted[1]["stages"]}
    artifacts = recipe.parent / "runs" / "artifacts"
    path = artifacts / "reference" / keys["reference[0]"] / "part-00000.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    trained = artifacts / "train" / keys["train[0] clo"] / "trained.safetensors"
    trained.write_bytes(trained.read_bytes()[:-10])
    result = langxfer(recipe, [fake_plugin], "--json")
    assert result.returncode == 0, result.stderr
    made = {stage["stage"] for stage in json.loads(result.stdout)["stages"] if stage["made"]}
    assert made == {"reference[0]", "train[0] clo"}
    assert weights(recipe) == expected
