"""The translation benchmark: ``python -m tests.benchmarks.translation [--json] [--quick]``; see README.md beside it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from langxfer.builtin.m2m100 import M2M100
from langxfer.translation import Checkpoint, convert
from langxfer.translation.ct2 import free_cores
from tests.benchmarks import translation_model
from tests.benchmarks.contest import ROOT, ContenderFailed, Process
from tests.benchmarks.translation_model import Shape
from tests.benchmarks.translation_worker import Job, segments_of

DATA = ROOT.parent / "shared" / "data" / "dolly" / "dolly_train.json"
INT8, FP32 = "int8_float32", "float32"
MANY, FEW = "many", "few"  # segments: for contenders that differ by little, and for those that take long
# By round: who works on which segments, one after the other.
TURNS = (
    ("ours-" + INT8, MANY), ("ctranslate2-" + INT8, MANY),
    ("ours-" + INT8, FEW), ("ours-" + FP32, FEW), ("transformers-" + FP32, FEW),
)  # fmt: skip
Found = dict[tuple[str, str], list[dict[str, float]]]


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        shape: of the model.
        length: tokens of every translation.
        segments: distinct ones at the least; the documents that have them are taken whole.
        rounds: turns of every contender.
        cached: documents of the run with a full cache.
        ready: segments of the run with a full cache in which nothing is taken apart.
        batch_rows: sizes of transformers' batches that are tried.
        quick: whether this is the quick cut, whose numbers are not for conclusions.
    """

    shape: Shape
    length: int
    segments: Mapping[str, int]
    rounds: int
    cached: int
    ready: int
    batch_rows: tuple[int, ...]
    quick: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> Extent:
        if options.quick:
            small = Shape(layers=2, width=512, heads=8)
            return cls(small, 12, {MANY: 64, FEW: 12}, options.rounds or 1, 500, 50_000, (16,), quick=True)
        return cls(Shape(), 32, {MANY: 160, FEW: 24}, options.rounds or 3, 2000, 1_000_000, (8, 16, 32), quick=False)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.translation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--quick", action="store_true", help="a small model: under three minutes on two cores, same keys"
    )
    parser.add_argument("--rounds", type=int, help="turns of every contender (default 3; quick: 1)")
    parser.add_argument("--threads", type=int, default=free_cores(), help="of every contender (default: all)")
    parser.add_argument("--data", type=Path, default=DATA, help="JSON: a list of rows with output")
    parser.add_argument(
        "--work", type=Path, help="folder in which the model and its conversions stay for the next time"
    )
    return parser.parse_args(given)


def run(options: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Make the model, let the contenders take turns, and give what is compared.

    Raises:
        OSError: the data is not there.
        ContenderFailed: a contender's process ended early.
    """
    extent = Extent.of(options)
    answers = [row["output"] for row in json.loads(options.data.read_text(encoding="utf-8"))]
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        model = translation_model.build(
            work / f"model-{extent.shape.layers}-{extent.shape.width}", answers, extent.shape
        )
        progress("the model is there")
        cache = work / "cache"
        for compute_type in (INT8, FP32):
            convert(Checkpoint(str(model)), cache, compute_type)
            progress(f"converted to {compute_type}")
        (Path(temporary) / "documents.json").write_text(json.dumps(answers), encoding="utf-8")
        defaults = M2M100()
        job = Job(
            "", temporary, str(model), str(cache), options.threads, extent.length, defaults.beam_size,
            defaults.max_batch_tokens, extent.batch_rows,
        )  # fmt: skip
        documents = {name: _documents_with(answers, count) for name, count in extent.segments.items()}
        found, facts = _take_turns(job, documents, extent.rounds, progress)
        with Process(replace(job, kind="cached")) as process:
            cached = process.ready().ask("run", documents=extent.cached)
        progress("all is in the cache")
        ready = _in_a_process_of_its_own(extent.ready)
    return summary(found, facts, cached, ready, job, extent)


def _in_a_process_of_its_own(segments: int) -> dict[str, float]:
    """The benchmark of the cache alone, whose memory is not to have a model in it."""
    command = [sys.executable, "-m", "tests.benchmarks.translation_cache", "--json", "--segments", str(segments)]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _documents_with(answers: Sequence[str], segments: int) -> int:
    """How many documents have that many distinct segments."""
    return next(
        (count for count in range(1, len(answers)) if len(segments_of(answers[:count])) >= segments), len(answers)
    )


def _take_turns(
    job: Job, documents: Mapping[str, int], rounds: int, progress: Callable[[str], None]
) -> tuple[Found, dict[str, Any]]:
    found: Found = {turn: [] for turn in TURNS}
    with ExitStack() as stack:
        processes = {
            kind: stack.enter_context(Process(replace(job, kind=kind))).ready() for kind in dict(TURNS)
        }  # one loads after the other
        facts = {kind: process.facts for kind, process in processes.items()}
        progress(f"loaded: {facts}")
        for number in range(rounds):
            for kind, size in TURNS:
                answer = processes[kind].ask("run", documents=documents[size])
                found[kind, size].append(answer)
                rate = answer["tokens"] / answer["seconds"]
                progress(f"round {number + 1} of {rounds}: {kind}, {size}: {rate:.1f} tokens/s")
    return found, facts


def summary(
    found: Found,
    facts: Mapping[str, Any],
    cached: Mapping[str, float],
    ready: Mapping[str, float],
    job: Job,
    extent: Extent,
) -> dict[str, Any]:
    """Ratios of median rates, and what they are made of; rates are generated tokens a second."""
    rates = {
        turn: median(answer["tokens"] / answer["seconds"] for answer in answers) for turn, answers in found.items()
    }
    theirs = rates["transformers-" + FP32, FEW]
    ours = "ours-" + INT8
    return {
        "rate_vs_ctranslate2": rates[ours, MANY] / rates["ctranslate2-" + INT8, MANY],
        "rate_vs_transformers_int8": rates[ours, FEW] / theirs,
        "rate_vs_transformers_fp32": rates["ours-" + FP32, FEW] / theirs,
        "cached_segments_per_second": ready["cached_segments_per_second"],
        "peak_memory_gb": ready["peak_memory_gb"],
        "cached_segments_per_second_from_documents": cached["segments"] / cached["seconds"],
        "peak_memory_gb_with_model": max(answer["peak"] for size in (MANY, FEW) for answer in found[ours, size]) / 1e9,
        "tokens_per_second": {f"{kind}, {size}": rate for (kind, size), rate in rates.items()},
        "segments": {size: found[ours, size][0]["segments"] for size in (MANY, FEW)},
        "turns": {f"{kind}, {size}": answers for (kind, size), answers in found.items()},
        "contenders": dict(facts),
        "quick": extent.quick,
        "rounds": extent.rounds,
        "model": {**vars(extent.shape), "vocabulary": translation_model.VOCABULARY},
        "tokens_per_translation": job.length,
        "beam_size": job.beam_size,
        "max_batch_tokens": job.max_batch_tokens,
        "threads": job.threads,
        "versions": {name: version(name) for name in ("langxfer", "ctranslate2", "torch", "transformers")},
    }


def table(found: Mapping[str, Any]) -> str:
    """What people read."""
    lines = [
        " ".join(f"{name} {number}" for name, number in found["versions"].items()) + f", threads: {found['threads']}",
        f"layers {found['model']['layers']}+{found['model']['layers']}, width {found['model']['width']}, beam "
        f"{found['beam_size']}, {found['tokens_per_translation']} tokens a translation",
        *(["quick cut: a small model and few segments, not for conclusions"] if found["quick"] else []),
        "",
    ]
    lines += [f"  {key:<32}{found[key]:>12,.2f}" for key in islice(found, 5)]
    lines += ["", "generated tokens a second, median"]
    lines += [f"  {name:<32}{rate:>12.1f}" for name, rate in found["tokens_per_second"].items()]
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        found = run(options, progress)
    except (OSError, ContenderFailed) as error:
        sys.exit(str(error))
    print(json.dumps(found, indent=2) if options.json else table(found))


if __name__ == "__main__":
    main()
