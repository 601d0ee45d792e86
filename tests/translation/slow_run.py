"""A translation run for tests to kill: ``python -m tests.translation.slow_run FOLDER NAME ROWS SECONDS CACHE``.

Every segment that the translator is asked for goes into ``FOLDER/asked`` before it is translated.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from langxfer.components import Pair
from langxfer.data import Turn
from langxfer.engine.formats import SourceRow
from langxfer.engine.translate import build_examples, write
from langxfer.recipe import Data
from langxfer.translation import Pipeline, SegmentCache, pipeline

LANGUAGES = ("de", "sw")
FILES = ("train.jsonl", "validation.jsonl", "dropped.jsonl", "translation.jsonl")


def rows(count: int) -> list[SourceRow]:
    """Two segments of their own each, one that all have, and now and then one that goes wrong at first or for good."""
    odd = {5: "Loops at first, ", 11: "Endlessly, "}
    return [
        SourceRow(
            str(number),
            {"en": Turn(f"Who is number {number}?", f"{odd.get(number % 16, 'It is ')}{number}. That is all.", "en")},
        )
        for number in range(count)
    ]


def segments(count: int) -> list[str]:
    """All that a run is asked for, repeated ones left out."""
    own = [part for number in range(count) for part in (f"Who is number {number}?", f"It is {number}.")]
    return [*own, *(f"Loops at first, {number}." for number in range(count)), "That is all."]


class Slow:
    """Takes its time for every segment, and says first which one it is at."""

    def __init__(self, log: TextIO, name: str, seconds: float):
        self._log, self._name, self._seconds = log, name, seconds

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str]:
        return [self._one(segment, pair, segment.startswith(("Loops", "Endlessly"))) for segment in segments]

    def translate_again(self, segments: Sequence[str], pair: Pair) -> list[str]:
        return [self._one(segment, pair, segment.startswith("Endlessly")) for segment in segments]

    def _one(self, segment: str, pair: Pair, loops: bool) -> str:
        self._log.write(json.dumps([pair.target, segment]) + "\n")
        self._log.flush()
        time.sleep(self._seconds)
        return "on and " * 9 if loops else f"{self._name} {segment}"


def main(folder: Path, name: str, count: int, seconds: float, cache: Path) -> None:
    pipeline.COMMIT_SECONDS = 0.05  # so that a kill has chunks to come between
    pipeline.FIRST_CHUNK = 200
    every = rows(count)
    data = Data(source="rows.jsonl", format="alpaca", target_languages=LANGUAGES)
    with SegmentCache(cache) as kept, open(folder / "asked", "a", encoding="utf-8") as log:
        through = Pipeline(Slow(log, name, seconds), "sentence", kept, {"name": "slow"}, window=200)
        write(folder, build_examples(every, data, through, "slow"), [], frozenset({"3", "5"}))
    (folder / "finished").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), Path(sys.argv[5]))
