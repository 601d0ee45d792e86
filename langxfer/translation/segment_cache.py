"""Translations that were paid for once: an SQLite file of segments, shared by all runs.

What a killed run had translated is there for the next one. Several processes may read and write at a time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from langxfer.components import Pair
from langxfer.errors import ArtifactError

WAIT = 60.0  # seconds to wait for another process's write
KEY_BYTES = 16  # two of a billion segments share a key with a probability of 1e-21
ASKED_AT_A_TIME = 4096  # keys a query; SQLite sorts them, so that neighbours are read together
PAGES_KIB = 65536  # of the file that SQLite keeps in memory
MAPPED_BYTES = 1 << 28  # of the file that are read without a copy
# A table of its own: files of the first version, with their table "segments", stay as they are.
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS translations "
    "(key BLOB NOT NULL PRIMARY KEY, text NOT NULL, score REAL, retried INTEGER NOT NULL)"
)

# What is kept of a segment: its translation, the mean log-probability of a token in nats (None where the translator
# knows none), and whether the first attempt failed.
Kept: TypeAlias = tuple[str, float | None, bool]


def scope(identity: Mapping[str, Any], pair: Pair) -> bytes:
    """What translations are kept under, beside their segments.

    Args:
        identity: JSON values, all that decides what a segment becomes: equal values, equal scopes.
        pair: direction.
    """
    what = {"identity": identity, "source": pair.source, "target": pair.target}
    text = json.dumps(what, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(_bytes(text)).digest()


class SegmentCache:
    """Translated segments under digests of (scope, segment).

    A context manager; it opens the file at once and may be used from one thread.

    Args:
        path: the SQLite file; it and its folder are made where they are missing.

    Raises:
        ArtifactError: here or later, the file cannot be read or written: no permission, a full disk,
            not a database.
    """

    def __init__(self, path: Path):
        self.path = path
        with self._sentences():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        """Write-ahead logging: readers never wait, and a process killed while writing leaves a sound file."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:  # two processes that switch at once do not wait by themselves
                if not _is(error, sqlite3.SQLITE_BUSY) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(f"PRAGMA cache_size=-{PAGES_KIB}")
        self._connection.execute(f"PRAGMA mmap_size={MAPPED_BYTES}")
        self._connection.execute(SCHEMA)
        most = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self._at_a_time = min(most, ASKED_AT_A_TIME)

    def __enter__(self) -> SegmentCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def find(self, scope: bytes, segments: Iterable[str]) -> dict[str, Kept]:
        """The segments that are in the cache, with what is kept of them."""
        by_key = _keys(scope, segments)
        keys = list(by_key)
        found: dict[str, Kept] = {}
        with self._sentences():
            for start in range(0, len(keys), self._at_a_time):
                asked = keys[start : start + self._at_a_time]
                marks = ",".join("?" * len(asked))
                query = f"SELECT key, text, score, retried FROM translations WHERE key IN ({marks})"
                for key, text, score, retried in self._connection.execute(query, asked):
                    found[by_key[key]] = (text if text.__class__ is str else _text(text), score, retried == 1)
        return found

    def add(self, scope: bytes, made: Mapping[str, Kept]) -> dict[str, Kept]:
        """Keep translations for good, all or none of them. One that is there already stays as it is.

        Returns:
            What is kept now, so that processes which translated the same segment at once agree on its translation.
        """
        by_key = _keys(scope, made)
        rows = [(key, _storable(made[segment][0]), *made[segment][1:]) for key, segment in by_key.items()]
        with self._sentences():
            before = self._connection.total_changes
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO translations VALUES (?, ?, ?, ?)", rows)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back by itself
                    self._connection.execute("ROLLBACK")
                raise
            all_new = self._connection.total_changes - before == len(rows)
        return dict(made) if all_new else self.find(scope, made)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ArtifactError(f"{self.path}: {_reason(error)}") from None


def _keys(scope: bytes, segments: Iterable[str]) -> dict[bytes, str]:
    empty = hashlib.blake2b(scope, digest_size=KEY_BYTES)
    keys: dict[bytes, str] = {}
    for segment in segments:
        digest = empty.copy()
        try:
            digest.update(segment.encode())
        except UnicodeEncodeError:
            digest.update(_bytes(segment))
        keys[digest.digest()] = segment
    return keys


def _bytes(text: str) -> bytes:
    """Scraped data holds lone surrogates, which are no UTF-8 text."""
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _storable(text: str) -> str | bytes:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _bytes(text)
    return text


def _is(error: sqlite3.Error, code: int) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == code  # the low byte; the rest says more


def _reason(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return f"cannot keep translations there ({error.strerror}). Choose another cache folder with LANGXFER_CACHE."
    if _is(error, sqlite3.SQLITE_FULL) or _is(error, sqlite3.SQLITE_IOERR):
        return f"cannot write ({error}). Free some space and run again: what was translated is kept."
    if _is(error, sqlite3.SQLITE_NOTADB) or _is(error, sqlite3.SQLITE_CORRUPT):
        return f"is not a sound SQLite file ({error}). Delete it and run again; its segments are translated anew."
    if _is(error, sqlite3.SQLITE_BUSY):
        return f"another process kept it locked for {WAIT:.0f} seconds. Wait for that process and run again."
    return f"cannot be used ({error}). Check its permissions, or choose another cache folder with LANGXFER_CACHE."
