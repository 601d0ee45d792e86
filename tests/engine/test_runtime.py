"""The device of a run is the one that its recipe asks for, whoever used Accelerate before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import accelerate
import pytest
import torch

from langxfer.engine import runtime
from langxfer.engine.runtime import Runtime
from langxfer.errors import RecipeError
from langxfer.recipe import Compute


def state(device: str, processes: int) -> Any:
    """What Accelerate keeps for the whole life of a Python process."""
    return SimpleNamespace(device=torch.device(device), num_processes=processes, process_index=0, is_main_process=True)


def device(monkeypatch: pytest.MonkeyPatch, asked: str, found: Any, *, cuda: bool = True) -> str:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(accelerate, "PartialState", lambda **options: found)
    return str(Runtime(Compute(device=asked, threads=torch.get_num_threads())).device)  # type: ignore[arg-type]


@pytest.mark.parametrize("earlier", ["cpu", "cuda"])
def test_one_process_takes_what_is_asked_for(monkeypatch: pytest.MonkeyPatch, earlier: str) -> None:
    assert device(monkeypatch, "cuda", state(earlier, 1)) == "cuda"
    assert device(monkeypatch, "auto", state(earlier, 1)) == "cuda"
    assert device(monkeypatch, "cpu", state(earlier, 1)) == "cpu"
    assert device(monkeypatch, "auto", state("cpu", 1), cuda=False) == "cpu"


def test_the_number_of_a_device_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device(monkeypatch, "cuda", state("cuda:1", 1)) == "cuda:1"


def test_a_device_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac the user's own Accelerator() takes mps."""
    assert device(monkeypatch, "auto", state("mps", 1), cuda=False) == "cpu"


def test_several_processes_keep_the_device_that_they_talk_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device(monkeypatch, "cuda", state("cuda:1", 2)) == "cuda:1"
    assert device(monkeypatch, "auto", state("cpu", 2)) == "cpu"
    said = "compute.device is cuda, but the 2 processes of this run were started on cpu.*Use auto or cpu"
    with pytest.raises(RecipeError, match=said):
        device(monkeypatch, "cuda", state("cpu", 2))


def test_cuda_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="torch sees no CUDA device here"):
        device(monkeypatch, "cuda", state("cpu", 1), cuda=False)


@pytest.mark.parametrize(("here", "share"), [(None, 4), ("2", 2), ("1", 1)])
def test_cores_are_shared_by_the_processes_of_a_machine(monkeypatch: pytest.MonkeyPatch, here: str, share: int) -> None:
    """Four processes in all; nobody says where (then they are here), two machines, four machines."""
    monkeypatch.setattr(accelerate, "PartialState", lambda **options: state("cpu", 4))
    monkeypatch.setattr(runtime, "free_cores", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    if here is None:
        monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    assert Runtime(Compute(device="cpu")).threads == 8 // share
