"""``langxfer push`` as a process of its own, against a hub on this machine: huggingface_hub's own requests."""

from __future__ import annotations

import getpass
import html
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

import langxfer
from langxfer.engine.push import prepare
from langxfer.engine.run import Written
from langxfer.errors import ArtifactError, DataError, RecipeError
from langxfer.recipe_text import RecipeText, yaml_text
from tests.conftest import RECIPE, write_rows
from tests.hub_of_models import Hub, serving

TOKEN = "hf_averysecrettokenindeed"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny: Path, fake_plugin: Path) -> Path:
    """A run folder; its recipe names its data by a path with a person's name, its notices the folder by a link."""
    folder = tmp_path_factory.mktemp("home") / "Maria O'Muster & Söhne"
    folder.mkdir()
    write_rows(folder / "rows.jsonl")
    text = RECIPE.format(model=tiny).replace("epochs: 2, validate_every: 3, keep: best", "steps: 1")
    quoted = str(folder / "rows.jsonl").replace("'", "''")
    text = text.replace("source: rows.jsonl", f"source: '{quoted}'")
    text = f"# my rows are in {folder}, /home/maria/r&d/rows.jsonl and /home/maria\n{text}".replace(
        "  - {name: language_fidelity, max_new_tokens: 4}\n", ""
    )
    (folder / "tiny.yaml").write_text(text)
    catalog = langxfer.load_plugins([fake_plugin])
    changes = (f"data.source={folder / 'rows.jsonl'}",)
    loaded = langxfer.load_recipe(str(folder / "tiny.yaml"), catalog, changes)
    run = langxfer.run(loaded.recipe, runs=folder / "runs", written=Written(loaded.text, "tiny.yaml", changes))
    (folder.parent / "linked-by-erika").symlink_to(folder)
    notices = ("tracker tensorboard: tensorboard --logdir {}", "the judge wrote {}/verdicts.jsonl")
    with open(run.path / "events.jsonl", "a") as file:
        for notice in notices:
            told = notice.format(folder.parent / "linked-by-erika" / "runs")
            file.write(json.dumps({"time": "2026-01-01T00:00:00Z", "event": "Notice", "message": told}) + "\n")
    return run.path


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as found:
        yield found


def push(run: Path, *arguments: str, hub: Hub | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", **environment}
    own["HF_ENDPOINT"] = hub.url if hub else "http://127.0.0.1:9"  # nobody listens there
    command = [sys.executable, "-m", "langxfer", "push", str(run), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=own, timeout=300, check=False)
    assert TOKEN not in done.stdout + done.stderr
    return done


def test_a_dry_run_shows_everything_and_asks_nobody(finished: Path, hub: Hub) -> None:
    done = push(finished, "me/tiny-de", hub=hub)
    assert done.returncode == 0, done.stderr
    assert hub.requests == []
    assert "model.safetensors" in done.stdout and "## How to use it" in done.stdout and "a private one" in done.stdout
    assert "weights of an earlier push" in done.stdout and "are deleted" in done.stdout
    assert "Nothing was sent" in done.stderr
    assert str((finished / "model" / "model.safetensors").stat().st_size) in done.stdout.replace(",", "")


@pytest.fixture(scope="module")
def pushed(finished: Path) -> Iterator[tuple[Hub, dict[str, Any], dict[str, Any]]]:
    """A hub to which the run was pushed, the repository there, and what the command said."""
    with serving() as hub:
        done = push(finished, "me/tiny-de", "--yes", "--license", "apache-2.0", "--json", hub=hub)
        assert done.returncode == 0, done.stderr
        yield hub, hub.repositories["me/tiny-de"], json.loads(done.stdout)


def test_everything_is_sent_in_one_commit(finished: Path, pushed) -> None:
    hub, repository, said = pushed
    assert repository["private"] is True and repository["commits"] == ["tiny, by langxfer"]
    files = repository["files"]
    model = {path.name for path in (finished / "model").iterdir()}
    assert files.keys() == model | {"README.md", "recipe.yaml", "filled.yaml", "scores.json", "report.html"}
    assert files["model.safetensors"] == (finished / "model" / "model.safetensors").read_bytes()
    assert hub.stored, "the weights went through the large-file storage"
    assert said["commit"] == f"{hub.url}/me/tiny-de/commit/{1:040d}"
    assert said["files"] == {name: len(own) for name, own in files.items()}
    card = ModelCard(files["README.md"].decode())
    assert card.data.license == "apache-2.0" and 'name = "me/tiny-de"' in card.text
    writes = [who for _, path, who in hub.requests if path.endswith(("/create", "/commit/main"))]
    assert writes == [f"Bearer {TOKEN}"] * 2


def test_nothing_tells_of_the_machine(finished: Path, pushed, tiny: Path) -> None:
    _, repository, _ = pushed
    for name, content in repository["files"].items():
        if name not in ("tokenizer.json", "model.safetensors"):
            text = html.unescape(content.decode())
            names = ("maria", "muster", "söhne", "erika", "r&d/")
            for part in (*names, "/home/", str(tiny.parent), str(finished.parent), f"/{getpass.getuser()}/"):
                assert part not in text.casefold(), (name, part)
    assert b"source: rows.jsonl" in repository["files"]["filled.yaml"]
    assert b"source: 'rows.jsonl'" in repository["files"]["recipe.yaml"]
    assert b"# my rows are in ., rows.jsonl and ~\n" in repository["files"]["recipe.yaml"]


def test_the_report_is_that_of_the_run_without_trackers_and_figures_beside_it(finished: Path, pushed) -> None:
    _, repository, _ = pushed
    own, sent = (finished / "report.html").read_text(), repository["files"]["report.html"].decode()
    assert "in the folder beside this page" in own and "in the folder beside this page" not in sent
    assert "the judge wrote verdicts.jsonl" in sent and "tracker tensorboard" not in sent
    assert "data.source=rows.jsonl" in sent
    for part in ("What changed", "held_out", "Time and memory", "<svg"):
        assert part in sent
    assert html.escape(repository["files"]["recipe.yaml"].decode(), quote=False).splitlines()[0] in sent


def test_prompts_that_look_like_paths_stay(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    said = "/no_think\nAnswer with /yes/no only."
    recipe = RecipeText.read("x", (run / "filled.yaml").read_text()).values
    recipe["evaluators"].append({"name": "language_fidelity", "system": said, "prompt": "/yes/no"})
    (run / "filled.yaml").write_text(yaml_text(recipe))
    with open(run / "recipe.yaml", "a") as file:
        file.write("# below /home/maria/x\n# system: '/no_think'\nprompt: Answer with /yes/no only.\n")
    files = prepare(run, "me/x").files
    filled = RecipeText.read("x", str(files["filled.yaml"])).values
    assert filled["evaluators"][-1] == recipe["evaluators"][-1] and filled["data"]["source"] == "rows.jsonl"
    assert "prompt: Answer with /yes/no only." in str(files["recipe.yaml"]) and "maria" not in str(files["recipe.yaml"])


def test_weights_of_an_earlier_push_do_not_stay(finished: Path, hub: Hub) -> None:
    stale = {"model-00001-of-00002.safetensors": b"1", "model.safetensors.index.json": b"{}"}
    others = ("notes.txt", "model_fp16/weights.safetensors", "model_card.safetensors", "old/model.safetensors")
    mine = dict.fromkeys((*others, "pytorch_model.bin"), b"mine")
    hub.repositories["me/tiny-de"] = {"private": False, "files": {**stale, **mine}, "commits": ["before"]}
    done = push(finished, "me/tiny-de", "--yes", "--json", hub=hub)
    assert done.returncode == 0, done.stderr
    repository = hub.repositories["me/tiny-de"]
    assert repository["private"] is False and len(repository["commits"]) == 2
    assert repository["files"].keys() & (stale | mine).keys() == mine.keys()
    assert sorted(json.loads(done.stdout)["deleted"]) == sorted(stale)


def test_what_is_deleted_is_said(finished: Path, hub: Hub) -> None:
    hub.repositories["me/tiny-de"] = {"private": True, "files": {"model.safetensors.index.json": b""}, "commits": []}
    done = push(finished, "me/tiny-de", "--yes", hub=hub)
    assert "deleted, weights of an earlier push:  model.safetensors.index.json" in done.stdout


def test_a_card_of_ones_own_in_public(finished: Path, tmp_path: Path, hub: Hub) -> None:
    own = tmp_path / "card.md"
    own.write_text("---\nlicense: mit\n---\n# Mine\n")
    assert push(finished, "me/tiny-de", "--yes", "--public", "--card", str(own), hub=hub).returncode == 0
    repository = hub.repositories["me/tiny-de"]
    assert repository["files"]["README.md"].decode() == own.read_text() and not repository["private"]


@pytest.mark.parametrize(("status", "sentence"), [(401, "does not accept the token"), (403, "may not write there")])
def test_refusals(finished: Path, hub: Hub, status: int, sentence: str) -> None:
    hub.refuse = status
    done = push(finished, "me/tiny-de", "--yes", hub=hub)
    assert done.returncode == 1 and "error: me/tiny-de: the " in done.stderr and sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "the hub did not answer"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_TOKEN": "", "HF_HOME": "/nowhere"}, "no token. Log in with `hf auth login`"),
    ],
)
def test_without_network_or_token(finished: Path, environment: dict[str, str], sentence: str) -> None:
    done = push(finished, "me/tiny-de", "--yes", **environment)
    assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["tiny", "me/a/b", "me/tiny..de", "https://hub/me/tiny"])
def test_names_that_are_none(finished: Path, name: str) -> None:
    with pytest.raises(RecipeError, match=f"REPO_ID '{name}'"):
        prepare(finished, name)


def test_runs_that_cannot_be_pushed(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a run folder"):
        prepare(tmp_path, "me/x")
    shutil.copy(finished / "filled.yaml", tmp_path)
    with pytest.raises(DataError, match="not finished"):
        prepare(tmp_path, "me/x")
    without = tmp_path / "without"
    shutil.copytree(finished, without, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ArtifactError, match="the model is not there"):
        prepare(without, "me/x")


def test_a_card_that_cannot_be_used(finished: Path, tmp_path: Path) -> None:
    own = tmp_path / "card.md"
    with pytest.raises(RecipeError, match=r"--card .*card.md: no such file\.$"):
        prepare(finished, "me/x", card=own)
    with pytest.raises(RecipeError, match=r"--card .*: is a folder\.$"):
        prepare(finished, "me/x", card=tmp_path)
    own.write_bytes(b"# \xff")
    with pytest.raises(RecipeError, match=r"--card .*card.md: is not UTF-8"):
        prepare(finished, "me/x", card=own)
    own.write_text("---\nlicense: [\n---\n")
    with pytest.raises(RecipeError, match=r"--card .*card.md: cannot be used"):
        prepare(finished, "me/x", card=own)
