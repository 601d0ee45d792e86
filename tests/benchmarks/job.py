"""What a contender is asked to do, on disk; what it answers, as JSON lines; and how its steps are measured."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from langxfer.data import View
from langxfer.engine import encode
from langxfer.engine.encode import Encoded

Totals = dict[str, dict[View, float]]  # example id -> view -> nats


@dataclass(frozen=True)
class Job:
    """One contender's task. Its folder holds the encoded examples, whose number is a multiple of ``batch``.

    Attributes:
        kind: ``clo``, ``sft``, ``trl_best``, ``trl_default`` or ``plain``.
        folder: of the data set: ``examples.safetensors``, and ``references`` once the first ``clo`` made them.
        model: a ``langxfer.recipe.Model``, as JSON values.
        model_folder: the model in transformers format.
        batch: pairs of one optimizer step.
        threads: of the process.
        micro_batch: preference rows (prompt, chosen, rejected) of one forward pass of TRL; None for its default.
        compiled: ask TRL for torch.compile.
    """

    worker: ClassVar[str] = "tests.benchmarks.worker"
    kind: str
    folder: str
    model: Mapping[str, Any]
    model_folder: str
    batch: int
    threads: int
    micro_batch: int | None = None
    compiled: bool = False

    def dump(self) -> str:
        return json.dumps(asdict(self))

    def examples(self) -> list[Encoded]:
        return encode.load(Path(self.folder) / "examples.safetensors")

    def batches(self) -> list[list[Encoded]]:
        """The examples of steps 0, 1, …; every contender goes round and round in this order."""
        examples = self.examples()
        return [examples[start : start + self.batch] for start in range(0, len(examples), self.batch)]

    def references(self) -> Path:
        """Where the first ``clo`` process of the data set puts reference log-probabilities; the others read them."""
        return Path(self.folder) / "references"


class Channel:
    """Requests on standard input, answers on standard output, as JSON lines; what libraries print goes to stderr."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def requests(self) -> Iterator[dict[str, Any]]:
        """Until ``stop``, or the end of the input."""
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "stop":
                return
            yield request

    def answer(self, **facts: Any) -> None:
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()


class StepMeter:
    """Seconds on the clock, seconds of the process's cores, and memory in bytes: before a step and at its peak."""

    def start(self) -> None:
        import torch

        from langxfer.engine.runtime import PeakMemory

        self._before = resident()
        self._memory = PeakMemory(torch.device("cpu"))
        self._began, self._cores = time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        taken = {"seconds": time.perf_counter() - self._began, "cpu_seconds": time.process_time() - self._cores}
        return {**taken, "peak": self._memory.read(), "before": self._before}


def resident() -> int:
    """Resident memory of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def release() -> None:
    """Give freed memory back to the system, so that what setting up needed is not counted with a step."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def own_memory(network: Any) -> dict[str, int]:
    """What the loaded model takes, in bytes: resident memory with every weight read once, and the weights' size."""
    values = list(network.parameters())
    for value in values:
        value.detach().sum()
    release()
    return {"resident": resident(), "parameters": sum(value.numel() * value.element_size() for value in values)}


def view_pairs() -> Sequence[tuple[View, View]]:
    """Chosen and rejected view of the two preference rows of an example."""
    return ((View.SS, View.ST), (View.TT, View.TS))
