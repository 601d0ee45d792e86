"""What several test files share: a tiny model, a small data file, and a recipe over them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How fast the machine is says nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests need no hub, and must not wait for one
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # workers share the cores: one thread each, torch's threads would spin


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer model."""
    from langxfer.testing import tiny_model

    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGXFER_CACHE", str(tmp_path_factory.mktemp("cache")))


TOPICS = ("sea", "river", "bridge", "winter", "rain", "bread", "light", "stone")


def write_rows(path: Path, count: int = 24) -> Path:
    """English instruction data in the format ``alpaca``."""
    rows = [
        {
            "id": f"row{n}",
            "instruction": f"Say a word on {TOPICS[n % 8]} {n}.",
            "output": f"{TOPICS[n % 8]} is " * (1 + n % 3) + str(n),
        }
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


RECIPE = """\
title: tiny
model: {{source: {model}}}
data: {{source: rows.jsonl, format: alpaca, target_languages: [de], validation: 4}}
translator: fake
phases:
  - objective: clo
    selector: attention
    training: {{learning_rate: 0.01, batch_size: 4, epochs: 2, validate_every: 3, keep: best}}
evaluators:
  - {{name: language_fidelity, max_new_tokens: 4}}
  - held_out
compute: {{checkpoint_every: 2, device: cpu, threads: 1}}
"""


@pytest.fixture
def recipe(tmp_path: Path, tiny: Path) -> Path:
    """A recipe file that translates with the fake translator and trains two epochs with CLO."""
    write_rows(tmp_path / "rows.jsonl")
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.format(model=tiny))
    return path


@pytest.fixture(scope="session")
def fake_plugin() -> Path:
    """The file that registers the fake translator."""
    from langxfer.testing import fakes

    return Path(fakes.__file__)
