"""``langxfer evaluate`` as a user meets it: on runs and models, killed, by several processes, and used wrongly."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from langxfer import cli
from langxfer.data import read_jsonl
from langxfer.engine import weights
from langxfer.errors import DataError
from langxfer.report.comparison import compare
from langxfer.report.finished import read_finished
from tests.conftest import RECIPE, write_rows
from tests.processes import ENVIRONMENT, TWO

SPY = '''
"""Notes every prompt that is really answered, and kills the process at the n-th progress of the answers."""
import os, signal
from langxfer import hookimpl
from langxfer.engine import requests

seen, ask = 0, requests.generate

def noted(model, encoder, prompts, *others):
    with open("asked", "a") as file:
        file.writelines(f"{prompt.id}\\n" for prompt in prompts)
    return ask(model, encoder, prompts, *others)

requests.generate = noted

@hookimpl
def observe(event):
    global seen
    if getattr(event, "stage", "") == "evaluate: answers":
        seen += 1
        if seen == int(os.environ.get("KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
'''


NOTED = """
from typing import Literal
from langxfer import Evaluation, Evaluator, Score, hookimpl

class Noted(Evaluator):
    name: Literal["noted"] = "noted"

    def evaluate(self, evidence):
        score = Score("noted", 1.0, 0.5, 4, "s:1", "%", interval=(0.25, 1.5))
        return Evaluation([score], [], notes=["[chance] is 25 %"])

@hookimpl
def register_evaluators():
    return [Noted]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny: Path, fake_plugin: Path) -> Path:
    """A folder with a recipe, its finished run, and a file of prompts."""
    folder = tmp_path_factory.mktemp("home")
    write_rows(folder / "rows.jsonl")
    (folder / "tiny.yaml").write_text(RECIPE.format(model=tiny).replace("epochs: 2", "steps: 2"))
    (folder / "none.yaml").write_text((folder / "tiny.yaml").read_text().partition("evaluators:")[0])
    prompts = ({"id": str(n), "en": f"Say {n} words.", "de": f"Sag {n} Worte bitte."} for n in range(3))
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    command = [sys.executable, "-m", "langxfer", "run", "tiny.yaml", "--plugin", str(fake_plugin)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def evaluate(
    home: Path, fake_plugin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Any]]:
    """Call the verb in the home folder; gives what it printed as JSON."""
    monkeypatch.chdir(home)

    def call(*arguments: str) -> Any:
        argv = ["langxfer", "evaluate", *map(str, arguments), "--plugin", str(fake_plugin), "--json"]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        if stopped.value.code:
            return stopped.value.code, printed.err
        return json.loads(printed.out)

    yield call


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every model that is loaded while the test runs."""
    found: list[Any] = []
    load = weights.load_model
    monkeypatch.setattr(weights, "load_model", lambda *a, **k: (found.append(a), load(*a, **k))[1])
    return found


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    return next(path.parent for path in home.glob("runs/*/filled.yaml"))


def values(found: dict[str, Any]) -> dict[str, Any]:
    return {score["name"]: score["value"] for score in found["scores"]}


def asked(found: dict[str, Any]) -> set[int]:
    """Numbers of prompts behind the main scores; a part of them is behind ``…/lines`` and the like."""
    return {score["n"] for score in found["scores"] if score["name"].count("/") == 1}


@pytest.mark.parametrize("when", ["after", "before"])
def test_a_runs_evaluations_are_those_of_the_run(evaluate, run, loads, when):
    found = evaluate(run, "tiny.yaml", *(["--before"] if when == "before" else []))
    assert not found["did_work"] and not loads
    scores = json.loads((run / "scores.json").read_text())[when]
    assert values(found) == {score["name"]: score["value"] for own in scores.values() for score in own}


def test_a_second_call_loads_no_model_and_the_folder_says_what_was_measured(evaluate, run, home, loads):
    arguments = (run, "language_fidelity", "--set", "language_fidelity.prompts=prompts.jsonl", "--limit", "2")
    first = evaluate(*arguments)
    assert first["did_work"] and len(loads) == 1
    second = evaluate(*arguments)
    assert not second["did_work"] and len(loads) == 1
    assert second["scores"] == first["scores"] and asked(first) == {2}
    folder = home / first["evaluation"]
    assert [*read_jsonl(folder / "scores.jsonl")] == first["scores"]
    rows, answers = ([*read_jsonl(folder / f"language_fidelity.{kind}.jsonl")] for kind in ("rows", "generations"))
    assert [row["id"] for row in rows] == [row["id"] for row in answers] == ["0/en", "1/en", "0/de", "1/de"]
    read = read_finished(folder).after["language_fidelity"]
    assert [score.value for score in read.scores] == [score["value"] for score in first["scores"]]
    assert all(own.verdict in ("no difference shown", "not tested") for own in compare(read, read))
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["evaluators"]["language_fidelity"]["options"]["limit"] == 2
    assert len(manifest["model"]["trained"]) == 1 and manifest["model"]["name"] == run.name
    assert manifest["versions"]["transformers"] and manifest["recipe"] is None
    with pytest.raises(DataError, match=r"neither a run folder \(no filled.yaml\)"):
        read_finished(home)
    longer = evaluate(*arguments[:-1], "3")  # two of three answers are there
    assert asked(longer) == {3} and len(loads) == 2


def test_notes_and_intervals_are_shown_however_old_they_are(evaluate, tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "noted.py").write_text(NOTED)
    arguments = (tiny, "noted", "--runs", tmp_path, "--plugin", tmp_path / "noted.py")
    first, again = evaluate(*arguments), evaluate(*arguments)
    assert first["did_work"] and not again["did_work"]
    manifest = json.loads((Path(first["evaluation"]) / "manifest.json").read_text())
    assert manifest["plugins"] == [{"file": "noted.py", "sha256": hashlib.sha256(NOTED.encode()).hexdigest()}]
    for found in (first, again):
        assert found["notes"] == ["[chance] is 25 %"] and found["scores"][0]["interval"] == [0.25, 1.5]
    monkeypatch.setattr(sys, "argv", ["langxfer", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "evaluate: noted: [chance] is 25 %" in capsys.readouterr().out


def test_a_run_without_its_artifacts_is_its_exported_model(evaluate, run, tmp_path):
    shutil.copytree(run, tmp_path / "alone")
    found = evaluate(tmp_path / "alone", "tiny.yaml", "--runs", tmp_path / "runs")
    scores = json.loads((run / "scores.json").read_text())["after"]
    for score in (score for own in scores.values() for score in own):
        assert values(found)[score["name"]] == pytest.approx(score["value"], abs=1e-4)
    shutil.rmtree(tmp_path / "alone" / "model")
    code, said = evaluate(tmp_path / "alone", "tiny.yaml")
    assert code == 2 and "the run is not finished" in said


def test_a_model_with_a_recipes_data_has_no_training_data_translated(evaluate, run, tiny, tmp_path):
    recipe = (run.parent.parent / "tiny.yaml").read_text().replace("model: {", "model: {trust_remote_code: true, ")
    (run.parent.parent / "trusting.yaml").write_text(recipe)
    found = evaluate(tiny, "trusting.yaml", "--runs", tmp_path, "--set", "held_out.margins=false")
    measured = json.loads((Path(found["evaluation"]) / "manifest.json").read_text())["model"]
    assert not measured["trust_remote_code"]  # it was given to another model
    assert [stage["stage"] for stage in found["stages"]][:2] == ["translate", "encode"]
    (manifest,) = (json.loads(path.read_text()) for path in tmp_path.glob("artifacts/translate/*/manifest.json"))
    assert (manifest["facts"]["train"], manifest["facts"]["validation"]) == (0, 4)
    scores = json.loads((run / "scores.json").read_text())["before"]
    expected = {score["name"]: score["value"] for own in scores.values() for score in own}
    expected = {name: value for name, value in expected.items() if "-over-" not in name}
    assert values(found) == pytest.approx(expected, abs=1e-5)


MISTAKES = [
    (["tiny", "language_fidelty"], 2, 'Did you mean "language_fidelity"?'),
    (["tiny", "absent.yaml"], 2, "absent.yaml is neither a file"),
    (["tiny", "none.yaml"], 2, "none.yaml: evaluators is empty"),
    (["tiny", ""], 2, "evaluators is an empty list; expected at least 1 item(s)"),
    (["absent/", "language_fidelity"], 2, "model.source absent/: no such folder"),
    (["tiny", "held_out"], 2, "held_out: needs validation examples"),
    (["tiny", "language_fidelity"], 2, "there are no prompts"),
    (["tiny", "tiny.yaml", "--before"], 2, "is no run folder"),
    (["tiny", "held_out", "--limit", "3"], 2, "--limit: no evaluator has an option of this name (held_out)"),
    (["tiny", "held_out,held_out", "--set", "held_out.margins=false"], 2, "Write evaluators[0].margins=false"),
    (["tiny", "held_out", "--set", "held_out.margin=false"], 2, 'Did you mean "margins"?'),
    (["tiny", "held_out", "--set", "data.limit=3"], 2, "data"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), MISTAKES, ids=lambda value: str(value)[:40])
def test_mistakes_are_sentences(evaluate, tiny, arguments, code, said):
    found = evaluate(*(str(tiny) if argument == "tiny" else argument for argument in arguments))
    assert found[0] == code and said in found[1], found
    assert "Traceback" not in found[1]


def test_a_damaged_run_folder_is_a_sentence(evaluate, tmp_path):
    (tmp_path / "filled.yaml").write_text("model: [")
    code, said = evaluate(tmp_path, "language_fidelity")
    assert code == 1 and "the run's recipe cannot be read" in said


def process(tiny: Path, where: Path, *launcher: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The verb on 16 prompts, two at a time, in processes of their own."""
    (where / "spy.py").write_text(SPY)
    (where / "prompts.jsonl").write_text(
        "".join(json.dumps({"id": str(n), "en": f"Say {n}.", "de": f"Sage {n} Worte."}) + "\n" for n in range(8))
    )
    command = [
        sys.executable,
        *launcher,
        "-m",
        "langxfer",
        "evaluate",
        str(tiny),
        "language_fidelity,language_fidelity",
    ]
    for option in (
        *("evaluators[0].prompts=prompts.jsonl", "evaluators[1].prompts=prompts.jsonl", "evaluators[1].min_words=3"),
        *("evaluators[0].max_new_tokens=8", "evaluators[1].max_new_tokens=8", "compute.prompts_per_batch=2"),
    ):
        command += ["--set", option]
    own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    command += ["--set", "compute.device=cpu", "--plugin", "spy.py"]
    return subprocess.run(command, cwd=where, env=own, capture_output=True, text=True, timeout=300, check=False)


def results(where: Path) -> dict[str, bytes]:
    (folder,) = where.glob("runs/evaluation-*")
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl") if path.name != "events.jsonl"}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    where = tmp_path_factory.mktemp("uninterrupted")
    result = process(tiny, where)
    assert result.returncode == 0, result.stderr
    assert "language_fidelity/de" in result.stdout and "±" in result.stdout
    assert len((where / "asked").read_text().split()) == 16  # two evaluators, the same prompts
    return where


def test_killed_it_goes_on_and_asks_nothing_twice(uninterrupted, tiny, tmp_path):
    """A batch of two is told of twice: when it is answered, and when it is kept."""
    killed = process(tiny, tmp_path, KILL_AT="10")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len((tmp_path / "asked").read_text().split()) == 10
    second = process(tiny, tmp_path)
    assert second.returncode == 0 and "resume evaluate: language_fidelity" in second.stderr, second.stderr
    asked = (tmp_path / "asked").read_text().split()
    assert (len(asked), len(set(asked))) == (16, 16)
    assert results(tmp_path) == results(uninterrupted)


def test_two_processes_give_the_results_of_one(uninterrupted, tiny, tmp_path):
    result = process(tiny, tmp_path, *TWO, **ENVIRONMENT)
    assert result.returncode == 0, result.stderr[-3000:]
    asked = (tmp_path / "asked").read_text().split()
    assert (len(asked), len(set(asked))) == (16, 16)
    assert results(tmp_path) == results(uninterrupted)
    assert result.stdout.count("evaluation:") == 1
    (manifest,) = tmp_path.glob("runs/evaluation-*/manifest.json")
    assert json.loads(manifest.read_text())["hardware"]["processes"] == 2
