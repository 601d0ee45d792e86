"""Trackers get every step, validation and score once, whatever happens: real event files, a real trackio database."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import langxfer
from langxfer.engine.check import check
from langxfer.engine.plan import build
from langxfer.errors import RecipeError
from langxfer.events import Notice
from langxfer.recipe import Tracking
from langxfer.report.finished import read_finished
from tests.conftest import RECIPE, write_rows
from tests.test_run import KILLER
from tests.test_run import langxfer as command

TRACKED = RECIPE.replace(
    "compute:", "tracking: {{trackers: [tensorboard, trackio], project: words}}\ncompute:"
).replace("  - {{name: language_fidelity, max_new_tokens: 4}}\n", "")


@pytest.fixture(scope="module")
def trackio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """trackio reads TRACKIO_DIR when it is imported, so all tests of this file share one."""
    folder = tmp_path_factory.mktemp("trackio")
    os.environ["TRACKIO_DIR"] = str(folder)
    return folder


def written(folder: Path, tiny: Path, text: str = TRACKED) -> Path:
    write_rows(folder / "rows.jsonl")
    path = folder / "tiny.yaml"
    path.write_text(text.format(model=tiny))
    return path


def run(path: Path, plugin: Path, *overrides: str) -> tuple[langxfer.Run, list[str]]:
    said: list[str] = []
    recipe = langxfer.load_recipe(str(path), langxfer.load_plugins([plugin]), list(overrides)).recipe
    result = langxfer.run(
        recipe, path.parent / "runs", observe=lambda e: said.append(e.message) if isinstance(e, Notice) else None
    )
    return result, said


def board(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every scalar in a run's TensorBoard files, as (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(
        str(folder / "tracking" / "tensorboard" / folder.name), size_guidance={"scalars": 0}
    ).Reload()
    return {tag: [(own.step, own.value) for own in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def in_trackio(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from trackio.sqlite_storage import SQLiteStorage

    found: dict[str, list[tuple[int, float]]] = {}
    own = json.loads((folder / "tracking" / "trackio.json").read_text())["id"]
    for row in SQLiteStorage.get_logs("words", folder.name, run_id=own):
        for name, value in row.items():
            if name not in ("step", "timestamp"):
                found.setdefault(name, []).append((row["step"], value))
    return found


def expected(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What the run folder says of steps, validations and scores."""
    finished, found = read_finished(folder), {}
    offsets, last = [0], 0
    for row in finished.metrics():
        if row["phase"] == len(offsets):
            offsets.append(last)
        last = offsets[-1] + row["step"]
        validated = any(name.startswith("validation/") for name in row)
        for name, value in row.items():
            if name == "step" or (name == "phase" and validated):
                continue
            found.setdefault(name if "/" in name else f"train/{name}", []).append((last, value))
    for when in ("before", "after"):
        for own in getattr(finished, when).values():
            found |= {f"{when}/{score.name}": [(last, score.value)] for score in own.scores if score.value is not None}
    return found


def same(found: dict[str, list[tuple[int, float]]], wanted: dict[str, list[tuple[int, float]]]) -> None:
    assert found.keys() == wanted.keys()
    for name, points in wanted.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        if name != "train/seconds":  # of a step that was done twice, the first time was shown
            assert [value for _, value in found[name]] == pytest.approx([v for _, v in points], rel=1e-5), name


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, tiny, fake_plugin, trackio_folder) -> tuple[langxfer.Run, list[str], Path]:
    path = written(tmp_path_factory.mktemp("tracked"), tiny)
    return *run(path, fake_plugin), path


def test_every_step_validation_and_score_is_in_both_trackers(tracked):
    result, said, _ = tracked
    wanted = expected(result.path)
    assert {"train/loss", "train/learning_rate", "validation/loss", "after/held_out/bits_per_byte/de"} <= wanted.keys()
    same(board(result.path), wanted)
    same(in_trackio(result.path), wanted)
    assert sum(sentence.startswith("tracker ") for sentence in said) == 2
    assert not any("failed" in sentence for sentence in said)


def test_the_recipe_is_the_configuration_without_folders_of_this_machine(tracked):
    from trackio.sqlite_storage import SQLiteStorage

    result, _, path = tracked
    own = json.loads((result.path / "tracking" / "trackio.json").read_text())["id"]
    config = SQLiteStorage.get_run_config("words", result.path.name, run_id=own)
    assert config["phases[0].objective.lambda"] == 0.5 and config["data.source"] == "rows.jsonl"
    parameters = next((result.path / "tracking" / "tensorboard").rglob("hparams.yml")).read_text()
    assert "phases[0].training.learning_rate: 0.01" in parameters
    assert str(path.parent) not in parameters + json.dumps(config)


def test_the_same_run_again_adds_nothing(tracked, fake_plugin):
    result, _, path = tracked
    files = sorted((result.path / "tracking").rglob("events*"))
    again, said = run(path, fake_plugin)
    assert not again.did_work and said == []
    assert sorted((result.path / "tracking").rglob("events*")) == files
    same(in_trackio(result.path), expected(result.path))


def test_a_run_whose_training_is_in_the_store_shows_its_curves(tracked, tmp_path, fake_plugin):
    """Another folder of runs with the same artifacts: nothing is trained, all is shown."""
    result, _, path = tracked
    shutil.copytree(path.parent, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "runs" / result.path.name)
    found, _ = run(tmp_path / "copy" / "tiny.yaml", fake_plugin, "tracking.trackers=[tensorboard]")
    assert not found.did_work
    same(board(found.path), expected(found.path))


def test_phases_follow_each_other(tmp_path, tiny, fake_plugin):
    text = TRACKED.replace(
        "evaluators:", "  - {{objective: sft, selector: full, training: {{batch_size: 8, steps: 2}}}}\nevaluators:"
    ).replace("epochs: 2", "steps: 3")
    result, _ = run(written(tmp_path, tiny, text), fake_plugin, "tracking.trackers=[tensorboard]")
    found = board(result.path)
    assert [step for step, _ in found["train/loss"]] == [1, 2, 3, 4, 5]
    assert [value for _, value in found["train/phase"]] == [0, 0, 0, 1, 1]
    same(found, expected(result.path))


def test_a_killed_run_goes_on_without_double_points(tmp_path, tiny, fake_plugin, trackio_folder):
    path = written(tmp_path, tiny)
    (tmp_path / "killer.py").write_text(KILLER)
    plugins = [fake_plugin, tmp_path / "killer.py"]
    killed = command(path, plugins, environment={"KILL_STAGE": "train", "KILL_AT": "6"})
    assert killed.returncode < 0
    folder = next(path.parent.glob("runs/tiny-*"))
    assert [step for step, _ in board(folder)["train/loss"]] == [1, 2, 3]  # and the checkpoint is that of step 2
    done = command(path, plugins, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["did_work"]
    same(board(folder), expected(folder))
    same(in_trackio(folder), expected(folder))


def test_a_tracker_that_fails_is_a_notice_and_the_run_goes_on(tracked, tmp_path, fake_plugin):
    result, _, path = tracked
    shutil.copytree(path.parent, tmp_path / "copy")
    folder = tmp_path / "copy" / "runs" / result.path.name
    shutil.rmtree(folder)
    (folder / "tracking").mkdir(parents=True)
    (folder / "tracking" / "tensorboard").write_text("a file where a folder should be")
    found, said = run(tmp_path / "copy" / "tiny.yaml", fake_plugin, "tracking.trackers=[tensorboard]")
    failures = [sentence for sentence in said if "failed and is left out" in sentence]
    assert len(failures) == 1 and failures[0].startswith("tracker tensorboard")
    assert found.path == folder and found.after == result.after


@pytest.mark.parametrize(("lost", "kept"), [("", 0), ("after/", 10)], ids=["everything", "scores"])
def test_points_that_trackio_could_not_store_are_sent_again(tracked, tmp_path, fake_plugin, monkeypatch, lost, kept):
    """It stores in the background and only warns."""
    from trackio.sqlite_storage import SQLiteStorage

    result, _, path = tracked
    shutil.copytree(path.parent, tmp_path / "copy")
    path, folder = tmp_path / "copy" / "tiny.yaml", tmp_path / "copy" / "runs" / result.path.name
    shutil.rmtree(folder)
    plain = SQLiteStorage.bulk_log

    def failing(*, metrics_list: list[dict[str, Any]], steps: list[int], log_ids: list[str], **options: Any) -> None:
        rows = zip(metrics_list, steps, log_ids, strict=True)
        sound = [own for own in rows if not any(name.startswith(lost) for name in own[0])]
        if sound:
            values, numbers, ids = map(list, zip(*sound, strict=True))
            plain(metrics_list=values, steps=numbers, log_ids=ids, **options)
        if len(sound) < len(steps):
            raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(SQLiteStorage, "bulk_log", failing)
        _, said = run(path, fake_plugin, "tracking.trackers=[trackio]")
    failures = [sentence for sentence in said if "failed and is left out" in sentence]
    assert len(failures) == 1 and "it could not store all points; the same run again sends" in failures[0]
    remembered = json.loads((folder / "tracking" / "trackio.json").read_text())
    assert (remembered["step"], remembered["scores"]) == (kept, None)
    again, said = run(path, fake_plugin, "tracking.trackers=[trackio]")
    assert again.path == folder and not any("failed" in sentence for sentence in said)
    same(in_trackio(folder), expected(folder))


def keys(tracking: dict[str, Any], path: Path, plugin: Path) -> str:
    recipe = langxfer.load_recipe(str(path), langxfer.load_plugins([plugin])).recipe
    return build(recipe.model_copy(update={"tracking": Tracking(**tracking)}).resolved(path.parent)).key


def test_tracking_is_in_no_key(recipe, fake_plugin):
    assert keys({}, recipe, fake_plugin) == keys({"trackers": ("wandb",), "project": "x"}, recipe, fake_plugin)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("[tensorbord]", 'expected "mlflow", "tensorboard", "trackio" or "wandb". Did you mean "tensorboard"?'),
        ("[trackio, trackio]", "a tracker is listed twice: trackio, trackio"),
    ],
)
def test_trackers_that_cannot_be(recipe, fake_plugin, value, sentence):
    with pytest.raises(RecipeError) as caught:
        langxfer.load_recipe(str(recipe), langxfer.load_plugins([fake_plugin]), [f"tracking.trackers={value}"])
    assert sentence in str(caught.value)


@pytest.mark.skipif(bool(shutil.which("wandb")), reason="wandb is installed here")
def test_a_missing_library_is_said_by_check_and_before_a_run_begins(recipe, fake_plugin, tmp_path):
    found = langxfer.load_recipe(str(recipe), langxfer.load_plugins([fake_plugin]), ["tracking.trackers=[wandb]"])
    sentence = 'wandb is not installed:  pip install "langxfer[wandb]"'
    looked = next(own for own in check(found.recipe, tmp_path) if own.subject == "tracking")
    assert looked.verdict == "problem" and sentence in looked.text
    with pytest.raises(RecipeError) as caught:
        langxfer.run(found.recipe, tmp_path / "runs")
    assert sentence in str(caught.value)
    assert not (tmp_path / "runs").exists()
