"""How many FLOP/s this machine gives to a plain matrix product of the model's own shape.

The yardstick for the training step: measured before it, in under a second, and remembered in the cache, so that
``plan`` can say how long a phase takes at the least. torch is imported only to measure.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from langxfer.engine.models import cache_folder
from langxfer.engine.store import digest, write_atomically

if TYPE_CHECKING:
    import torch

    from langxfer.recipe import Recipe

SECONDS = 0.5  # that measuring takes, about
REPETITIONS = 32  # at the most; the best counts, as other work on the machine disturbs the others
ROWS = {"cpu": (128, 1024), "cuda": (512, 16384)}  # fewest and most rows of the left matrix
ELEMENTS = {"cpu": 1 << 22, "cuda": 1 << 28}  # of the right one, which is cut to that: a part is as fast as the whole


def free_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Setting:
    """What a rate depends on. ``shape`` is ``(out, in)`` of the matrix; ``device`` and ``threads`` are as asked for."""

    device: str
    threads: int
    processes: int
    dtype: str
    shape: tuple[int, int]

    @staticmethod
    def of(recipe: Recipe, shape: tuple[int, int], processes: int = 1) -> Setting:
        compute = recipe.compute
        threads = compute.threads or max(1, free_cores() // processes)
        return Setting(compute.device, threads, processes, recipe.model.dtype, shape)

    @property
    def _note(self) -> Any:
        key = digest({**asdict(self), "machine": [platform.node(), platform.machine(), platform.processor()]})
        return cache_folder() / "matmul" / f"{key}.json"

    def remember(self, rate: float) -> None:
        """Keep a rate, FLOP/s of all processes together, for ``remembered`` on this machine."""
        with suppress(OSError):  # only a plan says less
            self._note.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._note, json.dumps({**asdict(self), "flops_per_second": rate}))

    def remembered(self) -> float | None:
        """FLOP/s measured earlier on this machine with this setting, or None."""
        try:
            return float(json.loads(self._note.read_text(encoding="utf-8"))["flops_per_second"])
        except (OSError, ValueError, KeyError, TypeError):
            return None


def measure(device: torch.device, dtype: str, shape: tuple[int, int]) -> float:
    """FLOP/s of ``[n, in] @ [in, out]`` in one process, the best of a few; n such that each takes a moment."""
    import torch

    kind = getattr(torch, dtype)
    noise = torch.Generator(device).manual_seed(0)
    place = "cuda" if device.type == "cuda" else "cpu"
    outputs, inputs = min(shape[0], max(512, ELEMENTS[place] // shape[1])), shape[1]
    weight = torch.rand(outputs, inputs, generator=noise, device=device).to(kind)
    fewest, most = ROWS[place]
    rows = torch.rand(most, inputs, generator=noise, device=device).to(kind)
    ready = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    with torch.no_grad():
        few = rows[:fewest]
        torch.nn.functional.linear(few, weight)  # the first call chooses kernels and starts threads
        trial = _seconds(lambda: torch.nn.functional.linear(few, weight), ready)
        share = SECONDS / REPETITIONS
        chosen = rows[: max(fewest, min(most, int(fewest * share / max(trial, 1e-9))))]
        best, began = float("inf"), time.monotonic()
        for _ in range(REPETITIONS):
            best = min(best, _seconds(lambda: torch.nn.functional.linear(chosen, weight), ready))
            if time.monotonic() - began > SECONDS:
                break
    return 2 * len(chosen) * outputs * inputs / best


def _seconds(product: Callable[[], Any], ready: Callable[[], None]) -> float:
    ready()
    began = time.perf_counter()
    product()
    ready()
    return max(time.perf_counter() - began, 1e-9)
