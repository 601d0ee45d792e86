"""Translation runs that are killed at random moments, and several at once: real processes, one cache."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from langxfer.components import Pair
from langxfer.translation import SegmentCache, faults
from langxfer.translation.segment_cache import scope
from tests.translation.slow_run import FILES, LANGUAGES, segments

KILLS = int(os.environ.get("LANGXFER_TEST_KILLS", "6"))
ROWS = 24 * KILLS
SECONDS = 0.004  # a segment


def start(folder: Path, cache: Path, rows: int, seconds: float, name: str = "x") -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.translation.slow_run", str(folder), name, str(rows), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([*command, str(cache)], env=environment)


def asked(folder: Path) -> list[tuple[str, str]]:
    """(language, segment) in order; a kill may have cut the last line."""
    log = folder / "asked"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def kept(cache: Path) -> set[tuple[str, str]]:
    with SegmentCache(cache) as open_cache:
        return {
            (tag, segment)
            for tag in LANGUAGES
            for segment in open_cache.find(
                scope({"name": "slow", "faults": faults.VERSION}, Pair("en", tag)), segments(ROWS)
            )
        }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert start(folder, folder / "segments.sqlite", ROWS, 0).wait() == 0
    return folder


def test_killed_at_random_moments_it_loses_nothing_and_pays_for_nothing_twice(uninterrupted, tmp_path):
    drawn = random.Random(KILLS)
    cache, folder = tmp_path / "segments.sqlite", tmp_path / "run"
    killed, before = 0, set()
    for _ in range(KILLS):
        seen = len(asked(folder))
        process = start(folder, cache, ROWS, SECONDS)
        deadline = time.monotonic() + 60
        while len(asked(folder)) == seen and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(drawn.uniform(0, 0.35))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        assert not {*asked(folder)[seen:]} & before  # what was kept is never asked for again
        now = kept(cache)
        assert before <= now  # and never lost
        before = now
    assert killed >= KILLS / 2 and before and not (folder / "finished").exists()
    seen = len(asked(folder))
    assert start(folder, cache, ROWS, 0).wait() == 0
    assert not {*asked(folder)[seen:]} & before
    for name in FILES:
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    assert kept(cache) == kept(uninterrupted / "segments.sqlite")
    repeated = len(asked(folder)) - len(asked(uninterrupted))
    assert repeated <= 60 * killed  # what was in flight: a chunk of 0.05 s, and what goes wrong for good


def test_a_second_run_asks_for_failures_alone(uninterrupted):
    before = {name: (uninterrupted / name).read_bytes() for name in FILES}
    seen = len(asked(uninterrupted))
    assert start(uninterrupted, uninterrupted / "segments.sqlite", ROWS, 0).wait() == 0
    again = asked(uninterrupted)[seen:]
    assert again and all(segment.startswith("Endlessly") for _, segment in again)
    assert len(again) == 2 * len({*again})  # with both settings
    assert not {*again} & kept(uninterrupted / "segments.sqlite")
    assert {name: (uninterrupted / name).read_bytes() for name in FILES} == before


def test_processes_at_once_agree_on_every_byte(tmp_path):
    """Each one translates differently; what is kept first is what all of them use."""
    cache, folders = tmp_path / "segments.sqlite", [tmp_path / name for name in ("one", "two", "three")]
    processes = [start(folder, cache, 60, 0.001, folder.name) for folder in folders]
    assert [process.wait() for process in processes] == [0, 0, 0]
    for name in FILES:
        assert len({(folder / name).read_bytes() for folder in folders}) == 1, name
    lines = (folders[0] / "train.jsonl").read_text().splitlines()
    lost = sum(number % 16 == 11 for number in range(60))
    assert len(lines) == len(LANGUAGES) * (60 - lost - 2) and lost
