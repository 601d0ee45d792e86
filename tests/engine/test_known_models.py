"""Shapes of well-known models: those that transformers builds, and the published numbers of parameters."""

from __future__ import annotations

from math import prod
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from langxfer.engine import known_models
from langxfer.engine.known_models import anatomy, translator_size
from langxfer.recipe import Model
from tests.house.source import PACKAGE

LISTED = YAML(typ="safe").load(PACKAGE / "engine" / "known_models.yaml")


@pytest.mark.parametrize("name", LISTED["decoders"])
def test_decoders_are_those_that_transformers_builds(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    options = {key: value for key, value in LISTED["decoders"][name].items() if key != "parameters"}
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.for_model(**options))
    found = anatomy(Model(source=name))
    assert found is not None and not found.from_files
    assert found.shapes == {own: tuple(value.shape) for own, value in built.named_parameters()}
    assert sum(map(prod, found.shapes.values())) == LISTED["decoders"][name]["parameters"]


@pytest.mark.parametrize("name", LISTED["translators"])
def test_translators_are_those_that_transformers_builds(name: str) -> None:
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    own = LISTED["translators"][name]
    sides = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in (("layers", own["layers"]), ("ffn_dim", own["ffn_dim"]))
    }
    with torch.device("meta"):
        built = M2M100ForConditionalGeneration(
            M2M100Config(d_model=own["d_model"], vocab_size=own["vocab_size"], **sides)
        )
    shapes = {key: tuple(value.shape) for key, value in built.named_parameters()}
    assert sum(map(prod, shapes.values())) == own["parameters"]
    size = translator_size(name)
    assert size is not None
    for side, extra in (("encoder", 0), ("decoder", own["vocab_size"] * own["d_model"])):
        weights = (prod(s) for key, s in shapes.items() if f".{side}.layers." in key and len(s) == 2)
        assert getattr(size, side) == sum(weights) + extra


def test_a_models_files_come_first(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_models, "_list", lambda: {"decoders": {str(tiny): {"hidden_size": 1}}})
    found = anatomy(Model(source=str(tiny)))
    assert found is not None and found.from_files and found.config["num_hidden_layers"] == 2


def test_other_models_are_unknown() -> None:
    assert anatomy(Model(source="nobody/knows-it")) is None
    assert translator_size("nobody/knows-it") is None
