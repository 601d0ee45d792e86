"""Resumable checkpoints of a training phase: trained weights, optimizer moments, progress. No pickles."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from langxfer.engine.store import SCRATCH, write_atomically

STATE = "state.json"
BEST = "best.safetensors"


@dataclass
class Progress:
    """How far a phase is. ``step`` counts finished optimizer steps."""

    step: int = 0
    tokens: int = 0
    log_bytes: int = 0
    best_loss: float = float("inf")
    best_step: int | None = None


def save(
    folder: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, state: Progress
) -> None:
    """Write a checkpoint; the state comes last, then older checkpoints go."""
    from safetensors.torch import save_file

    scratch = folder / SCRATCH
    temporary, final = scratch / "writing", scratch / f"step-{state.step:08d}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    tensors = {f"weight/{name}": value.detach() for name, value in parameters.items()}
    for name, value in parameters.items():
        tensors |= {f"{key}/{name}": moment for key, moment in optimizer.state[value].items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary / "tensors.safetensors")
    write_atomically(temporary / STATE, json.dumps(asdict(state)))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    for older in scratch.glob("step-*"):
        if older.name < final.name:
            shutil.rmtree(older, ignore_errors=True)


def load(folder: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> Progress:
    """Continue from the newest complete checkpoint, or from the beginning."""
    from safetensors.torch import load_file

    found = sorted(path.parent for path in (folder / SCRATCH).glob(f"step-*/{STATE}"))
    if not found:
        return Progress()
    device = str(next(iter(parameters.values())).device)
    steps = device if optimizer.defaults.get("fused") else "cpu"  # where the optimizer counts
    tensors = load_file(found[-1] / "tensors.safetensors", device=device)
    moments: dict[str, dict[str, Any]] = {name: {} for name in parameters}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "weight":
            parameters[name].data.copy_(tensor)
        else:
            moments[name][kind] = tensor.to(steps) if kind == "step" else tensor
    for name, value in parameters.items():
        if moments[name]:
            optimizer.state[value] = moments[name]
    return Progress(**json.loads((found[-1] / STATE).read_text()))


def save_best(folder: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    """Keep the weights of the lowest validation loss so far."""
    from safetensors.torch import save_file

    path = folder / SCRATCH / BEST
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().contiguous() for name, value in parameters.items()}, path.with_suffix(".writing"))
    os.replace(path.with_suffix(".writing"), path)


def load_best(folder: Path, parameters: Mapping[str, nn.Parameter]) -> None:
    """Put the weights of the lowest validation loss back."""
    from safetensors.torch import load_file

    for name, value in load_file(folder / SCRATCH / BEST, device=str(next(iter(parameters.values())).device)).items():
        parameters[name].data.copy_(value)
