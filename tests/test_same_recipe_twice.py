"""One recipe by two at a time: each does what the other has not done, and both end with the whole run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import langxfer
from langxfer.engine import folder


def test_two_threads(recipe: Path, fake_plugin: Path, monkeypatch: Any) -> None:
    """Neither begins nor finishes the folder while the other one does; the second finds the model there."""
    inside, most, models = [0], [0], []

    def slow(method: Any) -> Any:
        def alone(self: folder.RunFolder, *arguments: Any) -> None:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.5)
            method(self, *arguments)
            inside[0] -= 1

        return alone

    def counted(self: folder.RunFolder, *arguments: Any) -> None:
        models.append(threading.get_ident())
        model(self, *arguments)

    model = folder.RunFolder._model
    monkeypatch.setattr(folder.RunFolder, "_model", counted)
    monkeypatch.setattr(folder.RunFolder, "begin", slow(folder.RunFolder.begin))
    monkeypatch.setattr(folder.RunFolder, "finish", slow(folder.RunFolder.finish))
    loaded = langxfer.load_recipe(str(recipe), langxfer.load_plugins([fake_plugin]), ["evaluators=[]"]).recipe
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(langxfer.run, loaded, recipe.parent / "runs") for _ in range(2)]
        first, second = (one.result() for one in both)
    assert most == [1] and len(models) == 1
    assert first.path == second.path and (first.model / "model.safetensors").is_file()
    made = [outcome.stage.label for one in (first, second) for outcome in one.outcomes if outcome.made]
    assert sorted(made) == ["encode", "quality", "reference[0]", "train[0] clo", "translate"]
    assert not [path for path in first.path.rglob("*") if path.name.startswith(".")]  # neither locks nor halves
    assert json.loads((first.path / "manifest.json").read_text())["run_key"]


def test_two_processes(recipe: Path, fake_plugin: Path) -> None:
    command = [sys.executable, "-m", "langxfer", "run", str(recipe), "--runs", str(recipe.parent / "runs")]
    command += ["--plugin", str(fake_plugin), "--set", "evaluators=[]"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(2)]
    errors = [one.communicate(timeout=300)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], errors
