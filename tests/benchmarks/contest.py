"""The contest over one data set: a process per contender, their steps in turn, and what they agree on.

Only one process works at a time: the others wait for a line on their standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol

from langxfer.engine import encode
from langxfer.engine.encode import Encoded
from tests.benchmarks.job import Job

ROOT = Path(__file__).parents[2]
CONTENDERS = ("clo", "sft", "trl_best", "trl_default")
Answers = dict[str, list[dict[str, float]]]
COMPILED_WARMUP = 4  # steps; torch.compile begins again when lengths change, until it takes them as variable


class ContenderFailed(Exception):
    """A contender's process ended before its answer; the text has the last lines that it wrote."""


class Task(Protocol):
    """What a process is started with: a module to run, and what it is told."""

    worker: ClassVar[str]

    @property
    def kind(self) -> str: ...

    @property
    def folder(self) -> str: ...

    @property
    def threads(self) -> int: ...

    def dump(self) -> str: ...


class Process:
    """A contender's process. What it said after loading is in ``facts`` once ``ready`` was called."""

    def __init__(self, job: Task):
        self._job = job
        self._log = Path(job.folder) / f"{job.kind}.log"
        threads = str(job.threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, "-m", job.worker, job.dump()]
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, text=True, stderr=log,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        self.facts: dict[str, Any] = {}

    def ready(self) -> Process:
        """Wait until it is loaded."""
        self.facts = self._answer()
        return self

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            ContenderFailed: the process ended first.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise ContenderFailed(f"{self._job.kind} ended with exit status {self._process.wait()}:\n{tail}")
        return json.loads(line)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process; one that is in the middle of a step is killed."""
        if kind is None:
            self._process.communicate(json.dumps({"do": "stop"}) + "\n", timeout=60)
        else:
            self._process.kill()
            self._process.communicate()


@dataclass(frozen=True)
class Plan:
    """One data set's contest.

    Attributes:
        job: what the contenders share; its kind is replaced by theirs.
        examples: encoded pairs, a whole number of batches.
        steps: counted steps of every contender.
        warmup: steps before them.
        micro_batches: candidates for TRL's best, in preference rows (two to a pair).
        compiled: try torch.compile with the best of them too.
        search_pairs: pairs of a step while the best of them is looked for.
        gradient_pairs: pairs whose gradients are compared, in one micro-batch of TRL.
        progress: told what is going on.
    """

    job: Job
    examples: Sequence[Encoded]
    steps: int
    warmup: int
    micro_batches: Sequence[int]
    compiled: bool
    search_pairs: int
    gradient_pairs: int
    progress: Callable[[str], None]

    def write(self) -> None:
        Path(self.job.folder).mkdir(parents=True, exist_ok=True)
        encode.save(Path(self.job.folder) / "examples.safetensors", self.examples)


@dataclass(frozen=True)
class Outcome:
    """What the contest over one data set gave, as measured.

    Attributes:
        steps: counted steps by contender: seconds, and bytes before the step and at its peak.
        facts: what contenders said after loading: memory, settings of TRL.
        rates: FLOP/s of the matmul, one of each round.
        warmup: steps that were not counted before them.
        searched: candidates for TRL's best configuration, with seconds and bytes.
        logps: largest difference of per-token log-probabilities (nats) between ours and another path, by that path.
        gradients: largest relative difference of a parameter's gradient, ours to TRL's.
    """

    steps: Answers
    facts: Mapping[str, dict[str, Any]]
    rates: Sequence[float]
    warmup: int
    searched: Sequence[dict[str, Any]]
    logps: Mapping[str, float]
    gradients: float


def hold(plan: Plan, opened: Callable[[Job], Process] = Process) -> Outcome:
    """Run the contest: references and the comparison, the search for TRL's micro-batch, then the steps in turn.

    ``opened`` starts a contender; ``facts``, ``ready`` and ``ask`` of what it gives are used, as a context manager.
    """
    plan.write()
    plan.progress("making references; comparing log-probabilities and gradients")
    logps, gradients = compare(plan, opened)
    searched = search(plan, opened)
    best = min(searched, key=lambda candidate: candidate["seconds"])
    warmup = COMPILED_WARMUP if best["compiled"] else plan.warmup
    jobs = {kind: replace(plan.job, kind=kind) for kind in (*CONTENDERS, "plain")}
    jobs["trl_best"] = replace(jobs["trl_best"], micro_batch=best["rows"], compiled=best["compiled"])
    plan.progress(f"loading; TRL's best micro-batch is {best['rows']} rows")
    with started(jobs.values(), opened) as processes:
        steps, rates = take_turns(plan, processes, warmup)
        facts = {name: processes[name].facts for name in CONTENDERS}
    return Outcome(steps, facts, rates, warmup, searched, logps, gradients)


@contextmanager
def started(jobs: Iterable[Job], opened: Callable[[Job], Process]) -> Iterator[dict[str, Process]]:
    """The jobs' processes by kind, loaded side by side, which is not timed."""
    with ExitStack() as stack:
        found = {job.kind: stack.enter_context(opened(job)) for job in jobs}
        yield {kind: process.ready() for kind, process in found.items()}


def search(plan: Plan, opened: Callable[[Job], Process]) -> list[dict[str, Any]]:
    """A step after warm-up for each micro-batch size of TRL, then torch.compile with the best. A lone size is taken."""
    if len(plan.micro_batches) == 1 and not plan.compiled:
        return [{"rows": plan.micro_batches[0], "compiled": False, "seconds": 0.0}]
    found = [try_out(plan, opened, rows, False) for rows in plan.micro_batches]
    if plan.compiled:
        best = min(found, key=lambda candidate: candidate["seconds"])
        found.append(try_out(plan, opened, best["rows"], True))
    return found


def try_out(plan: Plan, opened: Callable[[Job], Process], rows: int, compiled: bool) -> dict[str, Any]:
    """Seconds and bytes over the model's own of a step of TRL with ``rows`` preference rows at a time."""
    job = replace(plan.job, kind="trl_best", batch=plan.search_pairs, micro_batch=rows, compiled=compiled)
    with opened(job).ready() as process:
        for _ in range(COMPILED_WARMUP if compiled else 1):
            process.ask("step")
        answer = process.ask("step")
    over = answer["peak"] - process.facts["memory"]["resident"]
    way = f"{rows} rows at a time{', compiled' if compiled else ''}"
    plan.progress(f"TRL with {way}, {plan.search_pairs} pairs a step: {answer['seconds']:.2f} s")
    return {"rows": rows, "compiled": compiled, "seconds": answer["seconds"], "memory_over": over}


def compare(plan: Plan, opened: Callable[[Job], Process]) -> tuple[dict[str, float], float]:
    """Per-token log-probabilities of the first batch, and gradients of a loss that both sides have, before any step.

    The processes end with it, so that nothing of it is in the memory of those whose steps are measured.
    """
    jobs = {kind: replace(plan.job, kind=kind) for kind in ("clo", "trl_best", "plain")}
    logps, paths = {}, {}
    for kind, job in jobs.items():  # clo first: it makes the references that TRL reads
        with opened(job).ready() as process:
            logps[kind] = process.ask("logps")["logps"]
            if kind != "plain":
                paths[kind] = Path(job.folder) / f"gradients-{kind}.safetensors"
                process.ask("gradients", pairs=plan.gradient_pairs, path=str(paths[kind]))
    differences = {
        name: largest_difference(logps["clo"], logps[kind])
        for name, kind in (("trl", "trl_best"), ("one_by_one", "plain"))
    }
    return differences, gradient_difference(paths["clo"], paths["trl_best"])


def largest_difference(ours: dict[str, dict[str, list[float]]], theirs: dict[str, dict[str, list[float]]]) -> float:
    """Over examples, views and tokens, in nats."""
    assert ours.keys() == theirs.keys()
    return max(
        abs(a - b)
        for name, views in ours.items()
        for view, scores in views.items()
        for a, b in zip(scores, theirs[name][view], strict=True)
    )


def gradient_difference(ours: Path, theirs: Path) -> float:
    """The largest ``||a - b|| / ||b||`` of a parameter."""
    from safetensors.torch import load_file

    a, b = load_file(ours), load_file(theirs)
    assert a.keys() == b.keys()
    return max(((a[name] - b[name]).norm() / b[name].norm()).item() for name in a)


def take_turns(plan: Plan, processes: Mapping[str, Process], warmup: int) -> tuple[Answers, list[float]]:
    """Step 1 of every contender and a matmul, step 2 of every contender and a matmul, …; warm-up is not counted."""
    answers: Answers = {name: [] for name in CONTENDERS}
    rates = []
    for number in range(warmup + plan.steps):
        counted = number >= warmup
        for name in CONTENDERS:
            answer = processes[name].ask("step")
            if counted:
                answers[name].append(answer)
        rates.append(processes["plain"].ask("step")["rate"])
        seconds = "  ".join(f"{name} {answers[name][-1]['seconds']:.2f} s" for name in CONTENDERS if counted)
        plan.progress(f"step {number + 1 - warmup} of {plan.steps}: {seconds}" if counted else "warmed up")
    return answers, rates
