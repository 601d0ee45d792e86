"""Models of a hub: downloaded once, in part, and found again without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from langxfer.testing import tiny_model
from tests.hub_of_datasets import serving

COMMIT = "c0ffee" + "0" * 34
ASK = """
import json, sys
from langxfer.engine import models
from langxfer.errors import LangxferError
from langxfer.recipe import Model
from langxfer.translation.checkpoint import Checkpoint

model, translator = Model(source="org/tiny"), Checkpoint("org/pickled", None, "translator")
def told(ask):
    try:
        return ask()
    except LangxferError as error:
        return f"{type(error).__name__}: {error}"
def files(folder):
    return folder and sorted(path.name for path in folder.iterdir())
print(json.dumps({
    "known": told(lambda: files(models.local_folder(model))),
    "identity": told(lambda: models.identify(model).weights),
    "fetched": told(lambda: files(models.fetch(model))),
    "whole": told(lambda: files(models.local_folder(model, whole=True))),
    "translator": told(lambda: translator.identity()),
    "tokenizer": told(lambda: files(translator.folder(weights=False))),
    "weights": told(lambda: files(translator.folder())),
}))
"""


def ask(home: Path, endpoint: str, *, offline: bool) -> dict[str, Any]:
    """What a process that knows this hub alone finds."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    own |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
    own |= {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "no_proxy": "127.0.0.1",
        "LANGXFER_CACHE": str(home / "own"),
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=own, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_model_is_found_again_without_a_network(tmp_path: Path) -> None:
    """Though not all of its repository was downloaded: the hub's library takes such a snapshot for a broken one."""
    folder = tiny_model(tmp_path / "tiny")
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    others = {"rust_model.ot": b"x" * 100, "README.md": b"A model.", ".gitattributes": b""}
    weights = {name: own for name, own in content.items() if name.endswith(".safetensors")}
    rest = {name: own for name, own in content.items() if name not in weights}
    pickled = {"pytorch_model.bin": b"weights"}
    repositories = {
        "org/tiny": (COMMIT, {**content, **others, "consolidated.safetensors": b"again"}),
        "org/pickled": (COMMIT, {**rest, **pickled, **others}),
    }
    with serving(repositories) as endpoint:
        found = ask(tmp_path / "home", endpoint, offline=False)
    assert found["known"] is None
    assert found["identity"] == COMMIT
    assert found["fetched"] == found["whole"] == sorted({*content, "README.md"})
    assert found["translator"] == {"model": "org/pickled", "revision": COMMIT}
    assert found["tokenizer"] == sorted(rest) and found["weights"] == sorted({*rest, *pickled})
    for offline in (True, False):  # told so, or nobody answers
        again = ask(tmp_path / "home", endpoint, offline=offline)
        assert again == {**found, "known": found["fetched"], "tokenizer": found["weights"]}


def test_without_a_network_half_a_model_is_none(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "tiny")
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    with serving({"org/tiny": (COMMIT, content), "org/pickled": (COMMIT, content)}) as endpoint:
        ask(tmp_path / "home", endpoint, offline=False)
    for path in tmp_path.glob("home/hub/models--org--*/snapshots/*/*.safetensors"):
        path.unlink()
    again = ask(tmp_path / "home", endpoint, offline=True)
    rest = sorted(name for name in content if not name.endswith(".safetensors"))
    assert again["known"] == again["tokenizer"] == rest  # enough to check a template with
    assert again["whole"] is None
    assert again["fetched"].startswith("ArtifactError: model.source org/tiny: the hub gave no model (")
    assert again["weights"].startswith("ArtifactError: translator.model org/pickled: the download failed (")
