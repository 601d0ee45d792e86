"""Machines that a plan is priced for, by the peaks of the makers' data sheets. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from langxfer.errors import RecipeError

UTILISATION = 0.4  # share of both peaks that is assumed to be reached
WRITTEN = re.compile(r"(?:(?P<count>[1-9]\d*)x)?(?P<device>[a-z]\w*)")


@dataclass(frozen=True)
class Device:
    """A GPU.

    Attributes:
        flops_per_second: of dense matrix products, by ``model.dtype``; float32 is not TF32.
        bytes_per_second: read from its memory.
        memory: bytes.
    """

    name: str
    flops_per_second: Mapping[str, float]
    bytes_per_second: float
    memory: int


# NVIDIA's data sheets, SXM modules. Those give bfloat16 with sparsity for Hopper: twice what dense products have.
DEVICES = {
    "a100": Device("A100 80GB", {"bfloat16": 312e12, "float32": 19.5e12}, 2.039e12, 80 * 10**9),
    "h100": Device("H100", {"bfloat16": 989.5e12, "float32": 67e12}, 3.35e12, 80 * 10**9),
    "h200": Device("H200", {"bfloat16": 989.5e12, "float32": 67e12}, 4.8e12, 141 * 10**9),
}


@dataclass(frozen=True)
class Machine:
    """Some GPUs of a kind."""

    count: int
    device: Device

    def __str__(self) -> str:
        return f"{self.count} × {self.device.name}"


def read_machines(text: str) -> list[Machine]:
    """``h100,8xa100`` -> one H100, and eight A100.

    Raises:
        RecipeError: it is written otherwise, or names a device that is not known.
    """
    return [_machine(part.strip().lower()) for part in text.split(",")]


def _machine(text: str) -> Machine:
    found = WRITTEN.fullmatch(text)
    if found is None or found["device"] not in DEVICES:
        known = ", ".join(DEVICES)
        raise RecipeError(f'--machine: "{text}" is no machine. Expected a device ({known}), or several: 8xa100.')
    return Machine(int(found["count"] or 1), DEVICES[found["device"]])
