"""The segment cache alone: ``python -m tests.benchmarks.translation_cache [--segments N] [--json]``.

Distinct segments go through the pipeline twice: with an empty cache and a translator that costs nothing, then with a
full cache and a translator that must not be asked. Ready-made segments (``document``: nothing is taken apart), and the
same as documents of five sentences.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from langxfer.components import Pair
from langxfer.translation import Pipeline, SegmentCache

PAIR = Pair("en", "de")
SENTENCES = 5  # a document
BATCH = 8_000  # texts that are made before the clock goes on
WORDS = (
    "the", "river", "ran", "past", "old", "stone", "bridges", "while", "winter", "winds", "blew", "over", "fields",
)  # fmt: skip


class Turned:
    """Upper case for lower case; counts what it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str]:
        self.asked += len(segments)
        return [segment.swapcase() for segment in segments]


def segments(count: int) -> Iterator[str]:
    """Distinct sentences of 15 words, 90 characters; the same ones every time."""
    drawn = random.Random(0)
    for number in range(count):
        yield f"In line {number} {' '.join(drawn.choices(WORDS, k=12))}."


def documents(count: int) -> Iterator[str]:
    """The same sentences, some to a document."""
    sentences = segments(count)
    for _ in range(count // SENTENCES):
        yield " ".join(next(sentences) for _ in range(SENTENCES))


def measure(count: int) -> dict[str, Any]:
    """Segments a second of the first run and of the second, and the peak of resident memory in GB (10^9)."""
    found: dict[str, Any] = {"segments": count}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segments.sqlite"
        found["first_segments_per_second"] = _run(path, "document", segments(count), count, asked=count)
        found["cached_segments_per_second"] = _run(path, "document", segments(count), count, asked=0)
        found["cached_segments_per_second_from_documents"] = _run(path, "sentence", documents(count), count, asked=0)
    found["peak_memory_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return found


def _run(path: Path, unit: str, texts: Iterator[str], count: int, asked: int) -> float:
    """Segments a second; making the texts is not part of the time."""
    translator, seconds, done = Turned(), 0.0, 0
    with SegmentCache(path) as cache:
        pipeline = Pipeline(translator, unit, cache, {"of": "the benchmark"})
        while batch := list(islice(texts, BATCH)):
            began = time.perf_counter()
            for document in pipeline.documents(batch, PAIR):
                assert document.text is not None
                done += document.segments
            seconds += time.perf_counter() - began
    assert (translator.asked, done) == (asked, count), (translator.asked, done)
    return count / seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.translation_cache", description=__doc__)
    parser.add_argument("--segments", type=int, default=1_000_000, help="distinct ones (default 1,000,000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.segments)
    print(json.dumps(found, indent=2) if options.json else "\n".join(f"{k:<44}{v:>14,.2f}" for k, v in found.items()))


if __name__ == "__main__":
    main()
