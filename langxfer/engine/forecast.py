"""How long a recipe takes on a machine that is not here, if nothing of it was made before: an estimate. No torch.

A part takes as long as its arithmetic at a share of the peak, or as its weights need to come from memory at the same
share of that peak, whichever is more. Devices share what they share evenly. No time is counted for loading, compiling,
starting kernels, communication, checkpoints and judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langxfer.engine.cost import Cost
from langxfer.engine.machines import UTILISATION, Machine
from langxfer.engine.workloads import Work


@dataclass(frozen=True)
class Forecast:
    """The time of a run on a machine.

    Attributes:
        seconds: of each part of the cost's ``work``.
        memory: bytes that training takes on each device at the least.
        fits: whether a device has as much.
    """

    machine: str
    seconds: tuple[float, ...]
    total_seconds: float
    gpu_hours: float
    memory: int
    device_memory: int
    fits: bool


def forecast(cost: Cost, machines: Sequence[Machine], utilisation: float = UTILISATION) -> list[Forecast]:
    """None where the FLOPs are not counted."""
    return [] if cost.uncounted else [_on(machine, cost, utilisation) for machine in machines]


def _on(machine: Machine, cost: Cost, utilisation: float) -> Forecast:
    device = machine.device

    def seconds(work: Work) -> float:
        arithmetic = work.flops / device.flops_per_second[work.dtype]
        slower = max(arithmetic, work.moved / device.bytes_per_second)
        return slower / utilisation / (machine.count if work.shared else 1)

    parts = tuple(map(seconds, cost.work))
    total, memory = sum(parts), max(phase.gpu_memory for phase in cost.phases)
    hours = total * machine.count / 3600
    return Forecast(str(machine), parts, total, hours, memory, device.memory, memory <= device.memory)
