"""A finished run, and a copy of it in which the model wrote what no page wants to hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import langxfer
from tests.conftest import RECIPE, write_rows

SCRIPT = "<script>document.title='taken over'</script><img src=x onerror=alert(1)>"
ARABIC, CHINESE = "مرحبا بكم في المدينة", "今天天气很好。"
TITLE = """it's "quoted" & <b>bold</b> $x$"""
ENDLESS = "endless-" * 12_500  # without a space to break a line at


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, tiny: Path, fake_plugin: Path) -> langxfer.Run:
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("reported")
    write_rows(folder / "rows.jsonl")
    (folder / "tiny.yaml").write_text(RECIPE.format(model=tiny).replace("epochs: 2", "steps: 3"))
    loaded = langxfer.load_recipe(str(folder / "tiny.yaml"), langxfer.load_plugins([fake_plugin]))
    return langxfer.run(loaded.recipe, runs=folder / "runs")


@pytest.fixture(scope="session")
def hostile(finished_run: langxfer.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of that run, with other answers: markup, 100,000 characters, other scripts, half a character."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(finished_run.path, folder, ignore=shutil.ignore_patterns("model", "report.html", "figures"))
    filled = (folder / "filled.yaml").read_text().replace("title: tiny", f"title: {json.dumps(TITLE)}")
    (folder / "filled.yaml").write_text(filled)
    answers = [
        {"answer": SCRIPT, "verdict": "wrong", "detected": "en"},
        {"answer": ENDLESS, "verdict": "mixed", "detected": "de"},
        {"answer": ARABIC + "\u202e", "verdict": "wrong", "detected": "ar"},
        {"answer": CHINESE + "\ud800", "verdict": "wrong", "detected": "zh"},
        {"answer": "", "verdict": "empty", "detected": None},
    ]
    for kind in ("generations", "rows"):
        path = folder / "generations" / f"language_fidelity.after.{kind}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row, own in zip(rows, answers, strict=False):
            row.update(own if kind == "rows" else {"answer": own["answer"], "prompt": row["prompt"] + "</div>"})
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
