"""Devices, precision and processes: the only file that knows Accelerate."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from langxfer.engine.matmul import free_cores
from langxfer.errors import RecipeError

if TYPE_CHECKING:
    from accelerate import PartialState

    from langxfer.recipe import Compute

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # other processes wait at a barrier while the main one translates


class Runtime:
    """One process of a run. ``main`` is the one that decides and writes.

    Raises:
        RecipeError: ``compute.device`` asks for CUDA and there is none, or for another device than the one that the
            processes of this run were launched on.
    """

    def __init__(self, compute: Compute):
        from accelerate import PartialState

        if compute.device == "cuda" and not torch.cuda.is_available():
            raise RecipeError("compute.device is cuda, but torch sees no CUDA device here. Use auto or cpu.")
        on_cpu = compute.device == "cpu" or not torch.cuda.is_available()
        self._state = PartialState(cpu=on_cpu, timeout=PATIENCE)
        self.device = _device(compute.device, self._state)
        self.rank: int = self._state.process_index
        self.world: int = self._state.num_processes
        self.main: bool = self._state.is_main_process
        here = int(os.environ.get("LOCAL_WORLD_SIZE") or self.world)  # processes on this machine, of those of all
        self.threads = compute.threads or max(1, free_cores() // here)
        if self.device.type == "cpu":
            torch.set_num_threads(self.threads)

    def autocast(self, dtype: str) -> AbstractContextManager[Any]:
        """The context of a forward pass in the model's precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if dtype == "bfloat16" else nullcontext()

    def barrier(self) -> None:
        self._state.wait_for_everyone()

    def decide(self, value: T) -> T:
        """The main process's value, on every process: no rank decides alone."""
        if self.world == 1:
            return value
        from accelerate.utils import broadcast_object_list

        box = [value]
        broadcast_object_list(box)
        return box[0]

    def gather(self, items: Sequence[T]) -> list[T]:
        """The items of all processes, rank after rank."""
        if self.world == 1:
            return list(items)
        from accelerate.utils import gather_object

        return gather_object(list(items))

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Sum tensors over all processes, in place."""
        if self.world > 1:
            for tensor in tensors:
                torch.distributed.all_reduce(tensor)

    def hardware(self) -> dict[str, Any]:
        """What manifests say of the machine."""
        facts: dict[str, Any] = {"device": self.device.type, "processes": self.world, "threads": self.threads}
        if self.device.type == "cuda":
            facts["accelerator"] = torch.cuda.get_device_name(self.device)
        return {**facts, "system": platform.system(), "machine": platform.machine()}


def _device(asked: str, state: PartialState) -> torch.device:
    """The device that a recipe asks for.

    Accelerate keeps one state for the whole life of a Python process: whoever made it first, an earlier run or the
    user's own ``Accelerator``, chose its device. That is binding only where processes already talk to each other.
    """
    wanted = asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if state.device.type == wanted or (state.num_processes > 1 and asked == "auto"):
        return state.device
    if state.num_processes > 1:
        raise RecipeError(
            f"compute.device is {asked}, but the {state.num_processes} processes of this run were started on "
            f"{state.device.type}, by an earlier run or an Accelerator of this program. Use auto or "
            f"{state.device.type}, or a fresh launch for each device."
        )
    return torch.device(wanted)


class PeakMemory:
    """Highest memory of a stretch of work, in bytes: resident on CPU, allocated on CUDA.

    Linux can restart the high-water mark of a process; elsewhere the mark is that of the whole process.
    """

    def __init__(self, device: torch.device):
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        try:
            status = Path("/proc/self/status").read_text()
            return int(status.split("VmHWM:")[1].split()[0]) * 1024
        except (OSError, IndexError, ValueError):
            import resource

            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_memory() -> int | None:
    """Bytes that this process has in memory now, or None where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def is_main_process() -> bool:
    """Whether this process is the one that prints."""
    from accelerate import PartialState

    return PartialState().is_main_process


def free() -> None:
    """Give memory of finished stages back, to the system too, so that peaks are those of one stage."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
