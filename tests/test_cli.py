"""Verbs as a user meets them: exit codes, sentences instead of tracebacks, nothing heavy imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from langxfer import cli
from tests.conftest import RECIPE, write_rows

VERBS = ("run", "plan", "check", "preview", "evaluate", "compare", "schema", "plugins", "recipes")


def langxfer(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "langxfer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = langxfer(verb, "--help")
    assert result.returncode == 0
    assert f"langxfer {verb}" in result.stdout.split("Example:")[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A recipe, and things that are wrong in one way each."""
    from langxfer.testing import tiny_model

    path = tmp_path_factory.mktemp("bad")
    write_rows(path / "rows.jsonl")
    (path / "r.yaml").write_text(RECIPE.format(model=tiny))
    tiny_model(path / "base", template=None)
    turns = "{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}"
    bad = turns + "{% if add_generation_prompt %}think:{% endif %}"
    tiny_model(path / "forgets", template=bad)
    (path / "broken.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction":\n')
    (path / "empty.jsonl").write_text("")
    (path / "nothing.py").write_text(
        "from typing import Literal\nfrom langxfer import Selector, hookimpl\n"
        "class Nothing(Selector):\n    name: Literal['nothing'] = 'nothing'\n"
        "    def select(self, shapes):\n        return frozenset()\n"
        "@hookimpl\ndef register_selectors():\n    return [Nothing]\n"
    )
    return path


MISTAKES = [
    ("data.source=absent.jsonl", 2, "no such file"),
    ("data.source=broken.jsonl", 2, "broken.jsonl:2 is not JSON"),
    ("data.source=empty.jsonl", 2, "it holds no rows"),
    ("data.target_languages=[klingon]", 2, '"klingon" is not a known language tag'),
    ("translator={name: fake, speaks: [en, fr]}", 2, 'translator "fake" does not speak de'),
    ("data.limt=3", 2, 'Did you mean "limit"?'),
    ("data.limit=many", 2, 'is "many"; expected a whole number'),
    ("data.validation=400", 2, "400"),
    ("model.source=base", 2, "has no chat template"),
    ("model.template=chatmel", 2, "Built-in templates: alpaca, chatml, plain"),
    ("model.source=forgets", 2, "does not keep the prompt"),
    ("model.source=absent", 2, "no such folder"),
    ("phases[0].selector=nothing", 2, 'selector "nothing" matches no parameter'),
    ("data.max_length=8", 2, "the prompt alone is longer than max_length"),
    ("compute.device=cuda", 2, "torch sees no CUDA device"),
]


@pytest.mark.parametrize(("change", "code", "sentence"), MISTAKES, ids=[change for change, _, _ in MISTAKES])
def test_bad_input_is_a_sentence(
    folder: Path,
    fake_plugin: Path,
    change: str,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if change.endswith("cuda"):
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a CUDA device, so asking for one is no mistake here")
    plugins = ["--plugin", str(fake_plugin), "--plugin", str(folder / "nothing.py")]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["langxfer", "run", "r.yaml", *plugins, "--set", change])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err
    assert stopped.value.code == code, said
    assert sentence in said and "Traceback" not in said
    if change == "phases[0].selector=nothing":
        assert "start" not in said  # before anything is translated, measured or scored


def test_all_mistakes_are_shown_and_finished_stages_kept(folder: Path, fake_plugin: Path) -> None:
    changes = [
        part
        for change in ("data.limt=3", "compute.layout=sideways", "phases[0].objective=clu")
        for part in ("--set", change)
    ]
    result = langxfer("check", "r.yaml", "--plugin", str(fake_plugin), *changes, cwd=folder)
    assert result.returncode == 2
    assert all(found in result.stderr for found in ("data.limt", "compute.layout", 'objective "clu" is not installed'))


def test_a_loss_that_is_not_finite_stops_with_the_examples(folder: Path, fake_plugin: Path) -> None:
    changes = ("phases[0].training.learning_rate=1e30", "phases[0].training.max_grad_norm=null", "evaluators=[]")
    arguments = [part for change in changes for part in ("--set", change)]
    result = langxfer("run", "r.yaml", "--plugin", str(fake_plugin), *arguments, cwd=folder)
    assert result.returncode == 1, result.stderr
    assert "is not finite" in result.stderr and "row" in result.stderr and "Traceback" not in result.stderr


def test_plan_says_hit_miss_and_why(folder: Path, fake_plugin: Path) -> None:
    result = langxfer("plan", "r.yaml", "--plugin", str(fake_plugin), "--json", cwd=folder)
    found = json.loads(result.stdout)
    assert {stage["stage"] for stage in found["stages"]} >= {"translate", "encode", "reference[0]", "train[0] clo"}
    assert found["cost"]["steps"] == [10] and found["cost"]["tokens"] > 100


def test_plan_of_what_is_out_of_reach_says_what_it_would_cost(folder: Path) -> None:
    result = langxfer("plan", "paper/llama-3-8b/sw-clo", cwd=folder)
    assert result.returncode == 0, result.stderr
    for said in ("What is there already cannot be known", "1 × H100", "8 × A100 80GB", "GPU hours", "40% of the peaks"):
        assert said in result.stdout
    assert (
        "Not counted: evaluate: mmmlu, further attempts (where an answer cannot be read; up to 4 times" in result.stdout
    )
    options = ("--machine", "2xh200", "--utilisation", "0.2", "--json")
    found = json.loads(langxfer("plan", "paper/llama-3-8b/sw-clo", *options, cwd=folder).stdout)
    assert (found["run_key"], found["stages"], found["utilisation"]) == (None, [], 0.2)
    assert [own["machine"] for own in found["machines"]] == ["2 × H200"] and "hub did not answer" in found["unknown"]
    labels = ["translate", "reference of train[0] clo", "train[0] clo"]
    assert [part["label"] for part in found["cost"]["work"]][:3] == labels


def test_plan_of_an_unknown_model_out_of_reach_is_an_error(folder: Path) -> None:
    result = langxfer("plan", "clo", "--set", "model.source=nobody/knows-it", cwd=folder)
    assert result.returncode == 1 and "model.source nobody/knows-it: there is no local one" in result.stderr
    result = langxfer("plan", "clo", "--machine", "8xtpu", cwd=folder)
    assert result.returncode == 2 and '"8xtpu" is no machine' in result.stderr


@pytest.mark.parametrize("verb", ["plan", "check", "evaluate tiny"])
def test_runs_that_cannot_be_a_folder(verb: str, folder: Path, fake_plugin: Path) -> None:
    result = langxfer(*verb.split(), "r.yaml", "--plugin", str(fake_plugin), "--runs", "rows.jsonl", cwd=folder)
    assert result.returncode == 1, result.stdout
    assert "rows.jsonl: is not a folder. Choose another one with --runs." in result.stderr


def test_recipes_in_folders_are_counted_and_listed_on_demand(folder: Path) -> None:
    listed = langxfer("recipes").stdout
    assert "paper/… (154)" in listed and "sw-clo" not in listed and "\nsft-eng " in listed
    own = langxfer("recipes", "paper/qwen-2.5-3b").stdout.splitlines()
    assert len(own) == 30 and all(line.startswith("paper/qwen-2.5-3b/") for line in own)
    assert len(json.loads(langxfer("recipes", "--json").stdout)) > 154
    (one,) = langxfer("recipes", "quickstart").stdout.splitlines()
    assert one.startswith("quickstart ") and Path(one.split()[-1]).is_file()
    wrong = langxfer("recipes", "papre")
    assert wrong.returncode == 2 and "no recipe is called papre or lies in it" in wrong.stderr
    assert "paper/… (154)" in langxfer("plugins").stdout


def test_plan_estimates_flops_before_anything_is_encoded(folder: Path, fake_plugin: Path) -> None:
    arguments = ["plan", "r.yaml", "--plugin", str(fake_plugin), "--runs", "none"]
    (phase,) = json.loads(langxfer(*arguments, "--json", cwd=folder).stdout)["cost"]["phases"]
    assert not phase["exact"] and phase["least_seconds"] is None  # nothing is encoded, nothing was measured
    assert phase["flops"] == sum(
        part["forward"] + part["backward"] for own in phase["passes"].values() for part in own.values()
    )
    about = langxfer(*arguments, cwd=folder).stdout
    assert "train[0] clo: about " in about and "FLOP in all" in about


def test_plan_says_why_flops_are_not_counted(folder: Path, fake_plugin: Path) -> None:
    plugins = ["--plugin", str(fake_plugin), "--plugin", str(folder / "nothing.py")]
    result = langxfer("plan", "r.yaml", *plugins, "--set", "phases[0].selector=nothing", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "FLOPs not counted:" in result.stdout and 'selector "nothing" matches no parameter' in result.stdout


def test_preview_shows_the_tokens_that_are_scored(folder: Path, fake_plugin: Path) -> None:
    arguments = ["preview", "r.yaml", "--plugin", str(fake_plugin), "-n", "1", "--json"]
    found = json.loads(langxfer(*arguments, cwd=folder).stdout)
    assert [shown["view"] for shown in found["shown"]] == ["SS", "ST", "TS", "TT"]
    assert "".join(found["shown"][0]["response"]) == "sea is 0</s>"
    assert "".join(found["shown"][0]["prompt"]).endswith("<|assistant|>\n")
    assert found["dropped"] == {} and found["cut"] == 0


@pytest.mark.parametrize("verb", ["check", "plan", "schema", "plugins"])
def test_light_verbs_bring_no_torch(verb: str, folder: Path, fake_plugin: Path) -> None:
    arguments = [verb, *(["r.yaml"] if verb in ("check", "plan") else []), "--plugin", str(fake_plugin)]
    code = (
        "import sys\nfrom langxfer.cli import app\n"
        f"try:\n    app({arguments!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'ctranslate2', 'datasets'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, timeout=300, check=False, env={**os.environ}
    )
    assert result.returncode == 0, result.stderr
