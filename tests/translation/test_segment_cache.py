"""The segment cache, with real files and real processes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from langxfer.components import Pair
from langxfer.errors import ArtifactError, PluginError
from langxfer.translation import SegmentCache
from langxfer.translation.segment_cache import CHUNK

EN_DE = Pair("en", "de")


class Upper:
    """Translates into capitals, and remembers what it was asked."""

    def __init__(self, unknown: Sequence[str] = ()):
        self.unknown, self.calls = unknown, []

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | None]:
        self.calls.append(list(segments))
        return [None if segment in self.unknown else f"{pair.target}:{segment.upper()}" for segment in segments]


def test_sends_only_missing_distinct_segments_and_keeps_the_order(tmp_path):
    inner = Upper()
    with SegmentCache(tmp_path / "new" / "segments.sqlite") as cache:
        translator = cache.cached(inner, {"name": "upper"})
        assert translator.translate(["b", "aaa", "b", "cc"], EN_DE) == ["de:B", "de:AAA", "de:B", "de:CC"]
        assert inner.calls == [["aaa", "cc", "b"]]
        assert translator.translate(["cc", "dddd", "b"], EN_DE) == ["de:CC", "de:DDDD", "de:B"]
        assert inner.calls[1:] == [["dddd"]]


def test_survives_closing_and_depends_on_identity_and_direction(tmp_path):
    path = tmp_path / "segments.sqlite"
    with SegmentCache(path) as cache:
        cache.cached(Upper(), {"beam": 5, "name": "upper"}).translate(["a"], EN_DE)
    for identity, pair, calls in (
        ({"name": "upper", "beam": 5}, EN_DE, []),  # equal values in another order
        ({"name": "upper", "beam": 4}, EN_DE, [["a"]]),
        ({"name": "upper", "beam": 5}, Pair("de", "en"), [["a"]]),
    ):
        inner = Upper()
        with SegmentCache(path) as cache:
            cache.cached(inner, identity).translate(["a"], pair)
        assert inner.calls == calls


def test_no_translation_is_passed_on_and_asked_again(tmp_path):
    inner = Upper(unknown=["x"])
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        translator = cache.cached(inner, {})
        assert translator.translate(["x", "y"], EN_DE) == [None, "de:Y"]
        assert translator.translate(["x", "y"], EN_DE) == [None, "de:Y"]
    assert inner.calls == [["x", "y"], ["x"]]


@pytest.mark.parametrize("segment", ["", " \n", "nul\0byte", "\ud83d lone surrogate", "🙂 ñ\u0301", "x" * 100_000])
def test_any_text_comes_back_as_it_was(tmp_path, segment):
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        translator = cache.cached(Upper(), {})
        first = translator.translate([segment], EN_DE)
        assert first == translator.translate([segment], EN_DE) == [f"de:{segment.upper()}"]


def test_a_failing_translator_loses_its_own_chunk_only(tmp_path):
    class Fails(Upper):
        def translate(self, segments, pair):
            if len(self.calls) == 2:
                raise RuntimeError("out of memory")
            return super().translate(segments, pair)

    segments = [f"segment {number:03}" for number in range(3 * CHUNK)]
    inner, again = Fails(), Upper()
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        with pytest.raises(RuntimeError, match="out of memory"):
            cache.cached(inner, {}).translate(segments, EN_DE)
        cache.cached(again, {}).translate(segments, EN_DE)
    assert [len(call) for call in again.calls] == [CHUNK]
    assert not {*again.calls[0]} & {segment for call in inner.calls for segment in call}


def test_a_translator_that_drops_a_segment_is_an_error(tmp_path):
    class Drops(Upper):
        def translate(self, segments, pair):
            return super().translate(segments, pair)[1:]

    message = "Drops gave 1 translations for 2 segments"
    with SegmentCache(tmp_path / "segments.sqlite") as cache, pytest.raises(PluginError, match=message):
        cache.cached(Drops(), {}).translate(["a", "b"], EN_DE)


CHILD = """
import json, sys, time
from pathlib import Path
from langxfer.components import Pair
from langxfer.translation import SegmentCache

class Slow:
    def translate(self, segments, pair):
        with open(sys.argv[2], "a") as log:
            log.write(json.dumps(segments) + "\\n")
        time.sleep(float(sys.argv[3]))
        return [f"{sys.argv[2]}:{segment}" for segment in segments]

with SegmentCache(Path(sys.argv[1])) as cache:
    translations = cache.cached(Slow(), {"name": "slow"}).translate([f"{n:04}" for n in range(400)], Pair("en", "de"))
Path(sys.argv[2] + ".out").write_text(json.dumps(translations))
"""


def start(cache: Path, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(cache), str(log), str(seconds)], env=environment)


def calls(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_killed_process_loses_at_most_the_chunk_it_was_at(tmp_path):
    path, log = tmp_path / "segments.sqlite", tmp_path / "killed"
    process = start(path, log, 0.3)
    deadline = time.monotonic() + 60
    while len(calls(log)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    finished = [segment for call in calls(log)[:2] for segment in call]
    assert len(finished) == 2 * CHUNK
    assert start(path, tmp_path / "resumed", 0).wait() == 0
    again = [segment for call in calls(tmp_path / "resumed") for segment in call]
    assert not {*finished} & {*again}
    assert len(again) <= 400 - len(finished)
    translations = json.loads((tmp_path / "resumed.out").read_text())
    assert [text.rpartition(":")[2] for text in translations] == [f"{number:04}" for number in range(400)]


def test_two_processes_at_once_agree(tmp_path):
    path = tmp_path / "segments.sqlite"
    processes = [start(path, tmp_path / name, 0.01) for name in ("one", "two")]
    assert [process.wait() for process in processes] == [0, 0]
    outputs = [json.loads((tmp_path / f"{name}.out").read_text()) for name in ("one", "two")]
    assert outputs[0] == outputs[1]  # though each process translates differently, the first to write wins
    assert [text.rpartition(":")[2] for text in outputs[0]] == [f"{number:04}" for number in range(400)]


def test_a_path_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot keep translations there"):
        SegmentCache(tmp_path / "file" / "segments.sqlite")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArtifactError, match="cannot be used"):
        SegmentCache(tmp_path / "folder")


def test_a_file_that_is_no_database_is_a_sentence(tmp_path):
    path = tmp_path / "segments.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for a header of one" * 40)
    with pytest.raises(ArtifactError, match="not a sound SQLite file"):
        SegmentCache(path)


def test_a_full_disk_is_a_sentence_and_keeps_what_was_there(tmp_path):
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        translator = cache.cached(Upper(), {})
        translator.translate(["a"], EN_DE)
        pages = cache._connection.execute("PRAGMA page_count").fetchone()[0]
        cache._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to a full disk
        with pytest.raises(ArtifactError, match=r"cannot write .*full.* Free some space"):
            translator.translate(["x" * 100_000], EN_DE)
        assert translator.translate(["a"], EN_DE) == ["de:A"]


def test_a_read_only_database_is_a_sentence(tmp_path):
    path = tmp_path / "segments.sqlite"
    with SegmentCache(path) as cache:
        translator = cache.cached(Upper(), {})
        cache._connection.execute("PRAGMA query_only = 1")
        with pytest.raises(ArtifactError, match="cannot be used"):
            translator.translate(["a"], EN_DE)


def test_waits_for_another_writer_no_longer_than_said(tmp_path, monkeypatch):
    monkeypatch.setattr("langxfer.translation.segment_cache.WAIT", 0.05)
    path = tmp_path / "segments.sqlite"
    with SegmentCache(path) as cache:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ArtifactError, match="another process kept it locked"):
            cache.cached(Upper(), {}).translate(["a"], EN_DE)
        other.execute("ROLLBACK")
        other.close()
        assert cache.cached(Upper(), {}).translate(["a"], EN_DE) == ["de:A"]
