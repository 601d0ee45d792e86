"""Tiny models, and examples encoded with their tokenizer, shared by the engine's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from langxfer.data import View
from langxfer.engine import reference, weights
from langxfer.engine.encode import Encoded, Encoder
from langxfer.engine.forward import Scorer
from langxfer.engine.runtime import Runtime
from langxfer.recipe import Compute, Model
from langxfer.testing import parallel_examples, tiny_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("gpt2"), "gpt2", attn_pdrop=0.2, resid_pdrop=0.2, embd_pdrop=0.2)


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    return Runtime(Compute(device="cpu", threads=1))


@pytest.fixture(scope="session")
def encoded(folder: Path) -> list[Encoded]:
    encoder = Encoder(Model(source=str(folder)), folder)
    return [item for item, _ in encoder.encode(parallel_examples(11), 500, "drop") if isinstance(item, Encoded)]


@pytest.fixture(scope="session")
def references(folder: Path, encoded: list[Encoded], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The real thing: written to files by the same path as the policy's, and read again."""
    where, views = tmp_path_factory.mktemp("reference"), sorted(View)
    network = weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))
    reference.write_parts(where, Scorer(network, "tree"), encoded, views, 400)
    return reference.read(where, encoded, views)
