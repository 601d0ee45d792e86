"""The training benchmark: ``python -m tests.benchmarks.training [--json] [--quick]``; see README.md beside it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langxfer import plugins
from langxfer.engine import models
from langxfer.engine.encode import Encoded, Encoder
from langxfer.engine.runtime import free_cores
from langxfer.errors import LangxferError
from langxfer.loading import load_recipe
from langxfer.recipe import Model
from tests.benchmarks import contest, pairs
from tests.benchmarks.job import Job
from tests.benchmarks.report import summary, table

DATA = contest.ROOT.parent / "shared" / "data" / "alpaca-en-de" / "pairs.jsonl"
COUNT = 64  # pairs of a data set


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes:
        pairs: of an optimizer step, by data set.
        shrink: divides the token ranges of data B.
        steps: counted ones; ``warmup`` come before them.
        micro_batches: candidates for TRL's best, in preference rows, by data set.
        search_pairs: pairs of a step of the search among them, by data set.
    """

    pairs: dict[str, int]
    shrink: int
    steps: int
    warmup: int
    micro_batches: dict[str, Sequence[int]]
    search_pairs: dict[str, int]

    @classmethod
    def of(cls, options: argparse.Namespace) -> Extent:
        if options.quick:
            size = {name: options.pairs or 1 for name in "ab"}
            return cls(size, options.shrink or 4, options.steps or 1, 1, {"a": (2,), "b": (2,)}, size)
        size = {name: options.pairs or 8 for name in "ab"}
        search = {"a": size["a"], "b": min(2, size["b"])}  # a whole step of B takes TRL minutes
        micro = {name: [rows for rows in (1, 2, 4, 8, 16) if rows <= most] for name, most in (("a", 16), ("b", 4))}
        micro = {name: [rows for rows in own if 2 * search[name] % rows == 0] for name, own in micro.items()}
        if options.micro_batch:
            micro = {name: [options.micro_batch] for name in micro}
        return cls(size, options.shrink or 1, options.steps or 5, 1, micro, search)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="a cut of under three minutes on two cores, same keys")
    parser.add_argument("--only", choices=("a", "b"), help="one data set")
    parser.add_argument("--steps", type=_positive, help="counted steps (default 5; quick: 1)")
    parser.add_argument("--pairs", type=_positive, help="pairs of an optimizer step (default 8; quick: 1)")
    parser.add_argument("--shrink", type=_positive, help="divide the token ranges of data B (default 1; quick: 4)")
    parser.add_argument("--micro-batch", type=_positive, help="of TRL, in rows, instead of a search for its best")
    parser.add_argument("--compile", action="store_true", help="try torch.compile for TRL too (minutes of compilation)")
    parser.add_argument("--threads", type=_positive, default=free_cores(), help="of every contender (default: all)")
    parser.add_argument("--data", type=Path, default=DATA, help="JSON lines with id, en and de texts")
    parser.add_argument("--model", help="a folder in transformers format (default: the model of the quickstart)")
    return parser.parse_args(given)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def model_of(folder: str | None) -> tuple[Model, Path]:
    """The model and its folder; the quickstart's, with its real weights, where none is named."""
    model = load_recipe("quickstart", plugins.load()).recipe.model if folder is None else Model(source=folder)
    return model, models.fetch(model)


def run(
    options: argparse.Namespace,
    progress: Callable[[str], None],
    opened: Callable[[Job], contest.Process] = contest.Process,
) -> dict[str, dict[str, Any]]:
    """Hold the contest over the wanted data sets: their summaries by name, ``a`` and ``b``.

    ``opened`` starts a contender; see ``contest.hold``.

    Raises:
        DataError: the data is not there, or too small.
        ContenderFailed: a contender's process ended early.
    """
    extent = Extent.of(options)
    model, folder = model_of(options.model)
    rows, encoder = pairs.read(options.data), Encoder(model, folder)
    found = {}
    with tempfile.TemporaryDirectory() as work:
        for name in (options.only,) if options.only else ("a", "b"):
            batch, batches = extent.pairs[name], extent.steps + extent.warmup
            count = max(batch, COUNT // batch * batch)  # a whole number of batches
            examples = (
                pairs.short(rows, encoder, count) if name == "a" else pairs.long(rows, encoder, count, extent.shrink)
            )
            used: list[Encoded] = examples[: batch * batches]
            job = Job("clo", f"{work}/{name}", model.model_dump(mode="json"), str(folder), batch, options.threads)
            plan = contest.Plan(
                job, used, extent.steps, extent.warmup, extent.micro_batches[name],
                options.compile, extent.search_pairs[name], 1,
                lambda text, name=name: progress(f"{name}: {text}"),
            )  # fmt: skip
            found[name] = summary(plan, contest.hold(plan, opened), pairs.mean_lengths(examples))
    return found


def main() -> None:
    options = arguments()
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        found = run(options, progress)
    except (LangxferError, contest.ContenderFailed) as error:
        sys.exit(str(error))
    print(json.dumps(found, indent=2) if options.json else table(found))


if __name__ == "__main__":
    main()
