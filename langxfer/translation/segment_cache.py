"""Translations that were paid for once: an SQLite file of segments, shared by all runs.

What a killed run had translated is there for the next one. Several processes may write at a time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langxfer.components import OpenTranslator, Pair
from langxfer.errors import ArtifactError, PluginError

CHUNK = 64  # segments sent to the translator at a time: all that a killed process can lose
WAIT = 60.0  # seconds to wait for another process's write
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS segments (identity BLOB, pair TEXT, source BLOB, translation BLOB NOT NULL, "
    "PRIMARY KEY (identity, pair, source)) WITHOUT ROWID"
)


class SegmentCache:
    """Translated segments under (SHA-256 of what decides a translation, direction, segment).

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
        self._connection.execute(SCHEMA)

    def __enter__(self) -> SegmentCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def cached(self, translator: OpenTranslator, identity: Mapping[str, Any]) -> CachedTranslator:
        """``translator`` behind this cache. ``identity``, JSON values, is all that decides its results."""
        return CachedTranslator(self, translator, identity)

    def find(self, identity: bytes, pair: Pair, segments: Sequence[str]) -> dict[str, str]:
        """The segments that are in the cache, with their translations."""
        query = "SELECT translation FROM segments WHERE identity = ? AND pair = ? AND source = ?"
        found = {}
        with self._sentences():
            for segment in segments:
                row = self._connection.execute(query, (identity, str(pair), _encode(segment))).fetchone()
                if row is not None:
                    found[segment] = _decode(row[0])
        return found

    def add(self, identity: bytes, pair: Pair, translations: Mapping[str, str]) -> None:
        """Keep translations for good, all or none of them. One that is there already stays as it is."""
        rows = [(identity, str(pair), _encode(source), _encode(target)) for source, target in translations.items()]
        with self._sentences():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("INSERT OR IGNORE INTO segments VALUES (?, ?, ?, ?)", rows)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back by itself
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ArtifactError(f"{self.path}: {_reason(error)}") from None


class CachedTranslator:
    """A translator that asks another one only for segments that the cache does not have.

    Missing segments go out once each, longest first so that those of one length meet, in chunks that
    are kept before the next one starts. A None (no translation) is passed on and not kept.
    """

    def __init__(self, cache: SegmentCache, translator: OpenTranslator, identity: Mapping[str, Any]):
        text = json.dumps(identity, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self._identity = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        self._cache, self._translator = cache, translator

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | None]:
        """Translations in the same order and of the same number; None where there is none.

        Raises:
            ArtifactError: the cache cannot be read or written; what was translated before is kept.
            PluginError: the translator gave more or fewer translations than it got segments.
        """
        distinct = list(dict.fromkeys(segments))
        known = self._cache.find(self._identity, pair, distinct)
        missing = sorted((segment for segment in distinct if segment not in known), key=len, reverse=True)
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            translations = self._translator.translate(chunk, pair)
            if len(translations) != len(chunk):
                raise PluginError(
                    f"{type(self._translator).__name__} gave {len(translations)} translations for {len(chunk)} "
                    "segments. A translator must give one for each, in order, and None where there is none."
                )
            made = {source: target for source, target in zip(chunk, translations, strict=True) if target is not None}
            self._cache.add(self._identity, pair, made)
            # Read back, so that processes which translated the same segment at once agree on its translation.
            known |= self._cache.find(self._identity, pair, list(made))
        return [known.get(segment) for segment in segments]


def _encode(text: str) -> bytes:
    """Bytes, because scraped data holds lone surrogates, which are no UTF-8 text."""
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


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
