"""Sweeps on a tiny model: real processes, real files, real kills. What points share is made once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import langxfer
from langxfer.data import read_jsonl
from langxfer.engine.sweep import planned
from langxfer.errors import RecipeError
from langxfer.events import PointFinished, PointStarted
from langxfer.recipe import Phase
from langxfer.testing import fakes
from tests.conftest import RECIPE, write_rows
from tests.processes import ENVIRONMENT, TWO
from tests.test_run import KILLER

# A translator, and a count of what it and the reference were asked to do; an objective that fails.
COUNTING = """
import sys
from contextlib import contextmanager
from typing import ClassVar, Literal

from langxfer import Objective, View, hookimpl
from langxfer.engine import reference
from langxfer.testing.fakes import FakeTranslator

plain = reference.score_part


def counted(scorer, examples, *rest):
    if sys._getframe(1).f_code.co_name == "write_parts":
        log("reference", [example.id for example in examples])
    return plain(scorer, examples, *rest)


reference.score_part = counted


def log(kind, items):
    with open("asked", "a") as file:
        file.writelines(f"{kind}\\t{item!r}\\n" for item in items)


class Counting(FakeTranslator):
    name: Literal["counting"] = "counting"

    @contextmanager
    def open(self, device, cache):
        with super().open(device, cache) as opened:
            yield Asked(opened)


class Asked:
    def __init__(self, opened):
        self.opened = opened

    def translate(self, segments, pair):
        log("translate", segments)
        return self.opened.translate(segments, pair)


class Broken(Objective):
    name: Literal["broken"] = "broken"
    views: ClassVar = frozenset({View.TT})

    def loss(self, policy, reference):
        raise ZeroDivisionError("an objective of no use")


@hookimpl
def register_translators():
    return [Counting]


@hookimpl
def register_objectives():
    return [Broken]
"""
GRID = ["--set", "data.limit=5,10,20", "--set", "phases[0].objective=clo,sft", "--set", "seed=1,2"]


@pytest.fixture
def recipe(tmp_path: Path, tiny: Path) -> Path:
    """As the recipe of other tests, but with one evaluator and two steps."""
    write_rows(tmp_path / "rows.jsonl")
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "killer.py").write_text(KILLER)
    text = RECIPE.format(model=tiny).replace("epochs: 2, validate_every: 3, keep: best", "steps: 2")
    text = text.replace("translator: fake", "translator: counting")
    text = text.replace("  - {name: language_fidelity, max_new_tokens: 4}\n", "")
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    return path


def sweep(
    recipe: Path, *arguments: str, environment: dict[str, str] | None = None, launch: tuple[str, ...] = ("-m",)
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, *launch, "langxfer", "sweep", str(recipe), *arguments]
    command += ["--plugin", "counting.py", "--plugin", "killer.py"]
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, env=own, cwd=recipe.parent, timeout=300, check=False)


def asked(recipe: Path, kind: str) -> Counter[str]:
    lines = (recipe.parent / "asked").read_text().splitlines()
    return Counter(line.partition("\t")[2] for line in lines if line.startswith(kind))


def points(recipe: Path) -> list[dict]:
    (path,) = recipe.parent.glob("runs/sweep-tiny-*/points.jsonl")
    return list(read_jsonl(path))


def test_killed_and_continued_it_makes_everything_once(recipe):
    killed = sweep(recipe, *GRID, environment={"KILL_STAGE": "train", "KILL_AT": "25"})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = points(recipe)
    assert {row["status"] for row in before} == {"done", "waiting"}
    again = sweep(recipe, *GRID, "--json")
    assert again.returncode == 0, again.stderr
    after, result = points(recipe), json.loads(again.stdout)
    assert [row["status"] for row in after] == ["done"] * 12 and result["points"] == after
    assert [row for row in before if row["status"] == "done"] == after[: sum(r["status"] == "done" for r in before)]
    assert len({row["run"] for row in after}) == 12
    manifests = [json.loads(path.read_text()) for path in recipe.parent.glob("runs/artifacts/*/*/manifest.json")]
    took = sum(own["facts"]["seconds"] for own in manifests)
    assert sum(row["seconds"] for row in after) == pytest.approx(took)
    made = Counter(path.parent.parent.name for path in recipe.parent.glob("runs/artifacts/*/*/manifest.json"))
    assert made == {"translate": 3, "encode": 3, "quality": 3, "reference": 3, "train": 12, "evaluate": 13}
    # 20 + 4 rows of prompt and response: no segment is translated twice, no example of any size scored twice
    assert set(asked(recipe, "translate").values()) == {1}
    assert set(asked(recipe, "reference").values()) == {1} and len(asked(recipe, "reference")) == 24
    scored = [
        json.loads(path.read_text())["facts"] for path in recipe.parent.glob("runs/artifacts/reference/*/manifest.json")
    ]
    assert sorted((own["examples"], own["scored"]) for own in scored) == [(9, 9), (14, 5), (24, 10)]
    assert "point 12 of 12" in again.stderr and " left" in again.stderr
    assert [row["label"] for row in result["table"]][:2] == [
        "before training",
        "data.limit=5, phases[0].objective=clo",
    ]
    assert all(score["seeds"] == 2 for row in result["table"][1:] for score in row["scores"])
    bits = [own for own in result["curves"] if own["score"] == "held_out/bits_per_byte/de"]
    assert [(own["name"], own["x"]) for own in bits] == [("clo", [5, 10, 20]), ("sft", [5, 10, 20])]
    assert any(own["score"] == "held_out/bits_per_byte/de" and own["largest"] for own in result["crossings"])


def test_a_plan_counts_what_points_share_once_and_runs_nothing(recipe):
    found = sweep(recipe, *GRID, "--plan", "--json")
    assert found.returncode == 0, found.stderr
    value = json.loads(found.stdout)
    made = [label for point in value["points"] for label in point["to_make"]]
    assert Counter(label.split("[")[0].split(" ")[0] for label in made) == {
        "translate": 3,
        "encode": 3,
        "quality": 3,
        "reference": 3,
        "train": 12,
        "evaluate": 13,
    }
    assert value["flops"] == sum(point["flops"] for point in value["points"]) > 0
    assert not (recipe.parent / "runs").exists()
    table = sweep(recipe, *GRID, "--dry-run")
    assert "12 points, 37 stages to make" in table.stdout, table.stderr


def test_a_point_that_fails_stops_no_other(recipe):
    found = sweep(recipe, "--set", "phases[0].objective=broken,sft")
    assert found.returncode == 1, found.stderr
    assert "1 of 2 points failed" in found.stdout and "an objective of no use" in found.stdout
    (failed, why), done = [(row["status"], row["error"]) for row in points(recipe)]
    assert failed == "failed" and done == ("done", None)
    assert 'objective "broken" raised ZeroDivisionError: an objective of no use (' in why
    (log,) = recipe.parent.glob("runs/sweep-*/failures.log")
    assert "in loss" in log.read_text()
    assert "Traceback" not in found.stderr


def test_two_processes_go_through_the_same_points(recipe):
    found = sweep(recipe, "--set", "data.limit=5,10", "--json", launch=(*TWO, "-m"), environment=ENVIRONMENT)
    assert found.returncode == 0, found.stderr[-3000:]
    assert [row["status"] for row in json.loads(found.stdout)["points"]] == ["done", "done"]  # one process prints
    manifests = [json.loads(path.read_text()) for path in recipe.parent.glob("runs/tiny-*/manifest.json")]
    assert [own["hardware"]["processes"] for own in manifests] == [2, 2]
    assert set(asked(recipe, "reference").values()) == {1} and len(asked(recipe, "reference")) == 14


def test_what_a_point_took_survives_a_kill_and_a_second_sweep_at_once(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (
        recipe.read_text()
        .replace("translator: counting", "translator: fake")
        .replace("objective: clo", "objective: sft")
    )
    recipe.write_text(text.partition("evaluators:")[0] + "compute: {device: cpu, threads: 1}\n")
    given = langxfer.load_sweep(str(recipe), langxfer.load_plugins([Path(fakes.__file__)]), ["data.limit=3,5"])
    seen = []

    def other(event):
        """Another process finishes the second point while this one is at the first."""
        if isinstance(event, PointStarted | PointFinished) and event.number == 1:
            first, second = points(recipe)
            seen.append(second)
            if isinstance(event, PointStarted):
                rows = first, {**second, "status": "done", "seconds": 5.0}
                (path,) = tmp_path.glob("runs/sweep-tiny-*/points.jsonl")
                path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    took = [own.seconds for own in langxfer.sweep(given, observe=other).results]
    assert [(row["status"], row["seconds"]) for row in seen] == [("waiting", None), ("done", 5.0)]
    assert [row["seconds"] for row in points(recipe)] == took and all(took)
    (path,) = tmp_path.glob("runs/sweep-tiny-*/points.jsonl")
    path.unlink()  # killed before it was written
    assert [own.seconds for own in langxfer.sweep(given).results] == took


def seeded(recipe: langxfer.Recipe, seed: int) -> Phase:
    """Its first phase with another seed."""
    (first, *_) = recipe.phases
    return first.model_copy(update={"training": first.training.model_copy(update={"seed": seed})})


def test_from_python_points_that_are_the_same_run_are_refused(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe.write_text(recipe.read_text().replace("translator: counting", "translator: fake"))
    one = langxfer.load_recipe(str(recipe), langxfer.load_plugins([Path(fakes.__file__)])).recipe
    other = one.model_copy(update={"title": "another name"})
    with pytest.raises(RecipeError, match="the points n=1 and n=2 are the same run"):
        langxfer.sweep(langxfer.Sweep("twice", (langxfer.Point({"n": 1}, one), langxfer.Point({"n": 2}, other))))
    fewer = one.model_copy(update={"data": one.data.model_copy(update={"limit": 3})})
    with pytest.raises(RecipeError, match="points with the settings the recipe differ in more than seeds"):
        langxfer.sweep(langxfer.Sweep("mixed", (langxfer.Point({}, one), langxfer.Point({"seed": 2}, fewer))))
    two = [one.model_copy(update={"phases": (seeded(one, 1), seeded(one, number))}) for number in (1, 2)]
    with pytest.raises(RecipeError, match="settings a=1 share the seed of phase 0 and differ in that of another"):
        planned(
            langxfer.Sweep("one phase", tuple(langxfer.Point({"a": 1, "seed": n}, own) for n, own in enumerate(two)))
        )
    apart = two[0], one.model_copy(update={"phases": (seeded(one, 2), seeded(one, 2))})
    assert (
        len(planned(langxfer.Sweep("all", tuple(langxfer.Point({"seed": n}, own) for n, own in enumerate(apart))))) == 2
    )
    gone = one.model_copy(update={"data": one.data.model_copy(update={"source": "gone.jsonl"})})
    with pytest.raises(RecipeError, match=r"no such file.*\(Point n=2\.\)"):
        langxfer.sweep(langxfer.Sweep("gone", (langxfer.Point({"n": 1}, one), langxfer.Point({"n": 2}, gone))))
    cuda = other.model_copy(update={"compute": one.compute.model_copy(update={"device": "cuda"})})
    with pytest.raises(RecipeError, match=r"compute\.device is cpu and cuda"):
        langxfer.sweep(
            langxfer.Sweep(
                "mixed",
                (
                    langxfer.Point({"n": 1}, one),
                    langxfer.Point(
                        {"n": 2}, cuda.model_copy(update={"data": one.data.model_copy(update={"limit": 3})})
                    ),
                ),
            )
        )
    assert not list(tmp_path.glob("runs/*"))
