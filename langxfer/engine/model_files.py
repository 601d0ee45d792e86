"""Whether the folder of a run's model is whole: configuration, and weights to the last byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from langxfer.errors import ArtifactError
from langxfer.hub import first_line

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def check(folder: Path) -> None:
    """Raises an ArtifactError where a model's folder lacks something, or weights are cut."""
    if (found := problem(folder)) is not None:
        raise ArtifactError(f"{folder}: the model is not there ({found}). The same langxfer run writes it anew.")


def problem(folder: Path) -> str | None:
    """What is wrong with a model's folder, in a few words; None where it is whole."""
    from safetensors import SafetensorError, safe_open

    if not (folder / CONFIG).is_file():
        return f"no {CONFIG}"
    try:
        paths = shards(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{INDEX} is damaged"
    for path in paths:
        if not path.is_file():
            return f"no {path.name}"
        try:
            with safe_open(path, framework="np"):  # reads the header, and compares it with the file's length
                pass
        except (SafetensorError, OSError) as error:
            return f"{path.name} is damaged: {first_line(error)}"
    return None


def shards(folder: Path) -> list[Path]:
    """The files of weights that there have to be."""
    if not (folder / INDEX).is_file():
        return [folder / WEIGHTS]
    names = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in sorted(set(names))]


def overflow(folder: Path, dtype: torch.dtype) -> Iterator[tuple[str, float]]:
    """Weights that a precision cannot hold: finite ones that become infinite, with the largest value."""
    from safetensors import safe_open

    for path in shards(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (no mapping)
                value = file.get_tensor(name)
                if value.is_floating_point():
                    lost = value[value.isfinite() & ~value.to(dtype).isfinite()]
                    if lost.numel():
                        yield name, float(lost.abs().max())
