"""The segment cache, with real files and real processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langxfer.components import Pair
from langxfer.errors import ArtifactError
from langxfer.translation import SegmentCache
from langxfer.translation.segment_cache import Kept, scope

EN_DE = Pair("en", "de")
SCOPE = scope({"name": "upper"}, EN_DE)


def kept(*segments: str) -> dict[str, Kept]:
    """Capitals, with a score."""
    return {segment: (segment.upper(), -0.25 * len(segment), len(segment) > 3) for segment in segments}


def test_gives_back_what_it_was_given_and_nothing_else(tmp_path):
    with SegmentCache(tmp_path / "new" / "segments.sqlite") as cache:
        assert cache.add(SCOPE, kept("b", "aaa", "long one")) == kept("b", "aaa", "long one")
        assert cache.find(SCOPE, ["cc", "aaa", "long one", "aaa"]) == kept("aaa", "long one")
        cache.add(SCOPE, {"no score": ("x", None, False)})
        assert cache.find(SCOPE, ["no score"]) == {"no score": ("x", None, False)}
        assert cache.find(SCOPE, []) == {} and cache.add(SCOPE, {}) == {}


def test_what_is_there_stays_and_is_given_back(tmp_path):
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        cache.add(SCOPE, kept("a"))
        assert cache.add(SCOPE, {"a": ("other", None, False), "b": ("B", -0.25, False)}) == kept("a", "b")


def test_survives_closing_and_depends_on_identity_and_direction(tmp_path):
    path = tmp_path / "segments.sqlite"
    with SegmentCache(path) as cache:
        cache.add(scope({"beam": 5, "name": "upper"}, EN_DE), kept("a"))
    for identity, pair, found in (
        ({"name": "upper", "beam": 5}, EN_DE, kept("a")),  # equal values in another order
        ({"name": "upper", "beam": 4}, EN_DE, {}),
        ({"name": "upper", "beam": 5}, Pair("de", "en"), {}),
        ({"name": "upper", "beam": 5}, Pair("en", "de-de"), {}),
    ):
        with SegmentCache(path) as cache:
            assert cache.find(scope(identity, pair), ["a"]) == found


@pytest.mark.parametrize("count", [1, 500, 501, 4096, 4097, 10_000])
def test_finds_as_many_as_it_is_asked_for(tmp_path, count):
    segments = [f"segment {number}" for number in range(count)]
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        cache.add(SCOPE, kept(*segments[::2]))
        assert cache.find(SCOPE, segments) == kept(*segments[::2])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=40), max_size=12), st.integers(1, 9))
def test_finds_the_same_in_any_order(tmp_path_factory, asked, at_a_time):
    """Rows are read on from where the last ones were, past those of others and to the end of the file."""
    theirs = scope({"name": "theirs"}, EN_DE)
    path = tmp_path_factory.mktemp("cache") / "segments.sqlite"
    with SegmentCache(path) as cache, pytest.MonkeyPatch.context() as patch:
        patch.setattr("langxfer.sqlite_file.READ_ON", at_a_time)
        patch.setattr("langxfer.sqlite_file.ASKED_AT_A_TIME", at_a_time)
        for start in range(0, 50, 10):
            cache.add(SCOPE, kept(*map(str, range(start, start + 10))))
            cache.add(theirs, kept(*map(str, range(start, start + 5))))
        for numbers in asked:
            assert cache.find(SCOPE, map(str, numbers)) == kept(*(str(n) for n in numbers if n < 50))


@pytest.mark.parametrize("before", [0, 3_000])
def test_what_is_asked_for_in_its_own_order_is_searched_for_at_most_once(tmp_path, before):
    segments = [f"segment {number}" for number in range(4_000)]
    path, searches = tmp_path / "segments.sqlite", []
    with SegmentCache(path) as cache:
        cache.add(SCOPE, kept(*(f"before {number}" for number in range(before))))
        cache.add(SCOPE, kept(*segments))
    with SegmentCache(path) as cache:
        cache._connection.set_trace_callback(lambda query: searches.append(query) if " IN (" in query else None)
        for start in range(0, 4_000, 400):
            assert len(cache.find(SCOPE, segments[start : start + 400])) == 400
    assert len(searches) == (1 if before else 0)


@pytest.mark.parametrize("segment", ["", " \n", "nul\0byte", "\ud83d lone surrogate", "🙂 ñ\u0301", "x" * 100_000])
def test_any_text_comes_back_as_it_was(tmp_path, segment):
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        cache.add(SCOPE, kept(segment))
        assert cache.find(SCOPE, [segment]) == kept(segment)


def test_a_file_of_the_first_version_stays_as_it_is(tmp_path):
    path = tmp_path / "segments.sqlite"
    columns = "identity BLOB, pair TEXT, source BLOB, translation BLOB NOT NULL, PRIMARY KEY (identity, pair, source)"
    with sqlite3.connect(path) as old:
        old.execute(f"CREATE TABLE segments ({columns}) WITHOUT ROWID")
        old.execute("INSERT INTO segments VALUES (x'00', 'en-de', x'61', x'41')")
    old.close()
    with SegmentCache(path) as cache:
        assert cache.find(SCOPE, ["a"]) == {}
        cache.add(SCOPE, kept("a"))
        assert cache.find(SCOPE, ["a"]) == kept("a")
        assert cache._connection.execute("SELECT count(*) FROM segments").fetchone() == (1,)


CHILD = """
import sys, time
from pathlib import Path
from langxfer.components import Pair
from langxfer.translation import SegmentCache
from langxfer.translation.segment_cache import scope

name, under = sys.argv[2], scope({"name": "upper"}, Pair("en", "de"))
with SegmentCache(Path(sys.argv[1])) as cache, open(name, "w") as log:
    for start in range(0, int(sys.argv[3]), 50):
        segments = [f"{number:05}" for number in range(start, start + 50)]
        now = cache.add(under, {segment: (f"{name}:{segment}", None, False) for segment in segments})
        for segment in segments:  # what a process was told is kept
            log.write(f"{now[segment][0]}\\n")
        log.flush()
"""


def start(cache: Path, log: Path, segments: int = 20_000) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(cache), str(log), str(segments)], env=environment)


def test_what_was_kept_survives_a_kill(tmp_path):
    path, log = tmp_path / "segments.sqlite", tmp_path / "log"
    process = start(path, log, 500_000)
    deadline = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size > 20_000) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    told = [line for line in log.read_text().split("\n")[:-1]]
    assert 0 < len(told) < 500_000
    with SegmentCache(path) as cache:
        found = cache.find(SCOPE, [line.rpartition(":")[2] for line in told])
        assert [text for text, _, _ in found.values()] and {text for text, _, _ in found.values()} == {*told}
        every = cache.find(SCOPE, [f"{number:05}" for number in range(20_000)])
        assert len(every) % 50 == 0  # all of a chunk or nothing


def test_processes_at_once_agree(tmp_path):
    path = tmp_path / "segments.sqlite"
    processes = [start(path, tmp_path / name) for name in ("one", "two", "three")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    one, two, three = ((tmp_path / name).read_text().splitlines() for name in ("one", "two", "three"))
    assert one == two == three  # though each process translates differently, the first to write wins
    assert [text.rpartition(":")[2] for text in one] == [f"{number:05}" for number in range(20_000)]


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
        cache.add(SCOPE, kept("a"))
        pages = cache._connection.execute("PRAGMA page_count").fetchone()[0]
        cache._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to a full disk
        with pytest.raises(ArtifactError, match=r"cannot write .*full.* Free some space"):
            cache.add(SCOPE, kept("b", "x" * 100_000))
        assert cache.find(SCOPE, ["a", "b"]) == kept("a")


def test_a_read_only_database_is_a_sentence(tmp_path):
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        cache._connection.execute("PRAGMA query_only = 1")
        with pytest.raises(ArtifactError, match="cannot be used"):
            cache.add(SCOPE, kept("a"))


def test_waits_for_another_writer_no_longer_than_said(tmp_path, monkeypatch):
    monkeypatch.setattr("langxfer.sqlite_file.WAIT", 0.05)
    path = tmp_path / "segments.sqlite"
    with SegmentCache(path) as cache:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ArtifactError, match="another process kept it locked"):
            cache.add(SCOPE, kept("a"))
        other.execute("ROLLBACK")
        other.close()
        assert cache.add(SCOPE, kept("a")) == kept("a")
