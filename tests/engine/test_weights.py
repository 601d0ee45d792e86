"""What selectors give, looked at where it is used; and transformers' progress bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import save_file
from transformers.utils import logging as transformers_logging

from langxfer.components import Selector
from langxfer.engine import weights
from langxfer.errors import ArtifactError, PluginError
from langxfer.recipe import Compute, Model


class OneByOne(Selector):
    """Gives names one by one."""

    name: Literal["one_by_one"] = "one_by_one"

    def select(self, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:  # type: ignore[override]
        yield from shapes


def load(folder: Path, *trained: Path) -> torch.nn.Module:
    return weights.load_model(Model(source=str(folder)), folder, trained, Compute(), torch.device("cpu"))


def test_names_that_can_be_read_once_only_are_a_fault_of_the_selector(folder: Path) -> None:
    with pytest.raises(PluginError, match=r'^selector "one_by_one": select gives a generator; expected a frozenset'):
        weights.trainable(load(folder), OneByOne())


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, "NoneType"),
        ([1], "list"),
        ({"a": 1.0}, "'a' with a float"),
        ({1: torch.zeros(1)}, "1 with a Tensor"),
        ({"lora.a": torch.zeros(2)}, "lora.a, which the model lacks"),
        ({"a": torch.zeros(3)}, r"a of shape \[3\], which has shape \[2\] in the model"),
    ],
)
def test_a_result_that_is_none_is_not_stored(tmp_path: Path, given: Any, found: str) -> None:
    path = tmp_path / weights.TRAINED
    with pytest.raises(PluginError, match=f"^the selector's finished gives {found}; expected a mapping"):
        weights.save_trained(given, path, {"a": (2,)})
    assert not path.exists()


def test_trained_tensors_of_another_model_are_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / weights.TRAINED
    save_file({"zzz": torch.zeros(1)}, path)
    with pytest.raises(ArtifactError, match=rf"^{path}: holds zzz, which the model lacks.*delete the folder"):
        load(folder, path)


def test_trained_tensors_of_another_shape_are_named(folder: Path, tmp_path: Path) -> None:
    name, shape = next(iter(weights.shapes(load(folder)).items()))
    path = tmp_path / weights.TRAINED
    save_file({name: torch.zeros(1)}, path)
    with pytest.raises(ArtifactError, match=f"^{path}: holds {name} of shape .1., which has shape .{shape[0]}, "):
        load(folder, path)


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bars_are_left_as_they_were(shown: bool) -> None:
    before = transformers_logging.is_progress_bar_enabled()
    switches = {True: transformers_logging.enable_progress_bar, False: transformers_logging.disable_progress_bar}
    try:
        switches[shown]()
        with weights.quiet():
            assert not transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.is_progress_bar_enabled() == shown
    finally:
        switches[before]()
