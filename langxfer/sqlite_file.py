"""SQLite files that several processes read and write at a time, and that a kill leaves sound."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from langxfer.errors import ArtifactError

WAIT = 60.0  # seconds to wait for another process's write
ASKED_AT_A_TIME = 4096  # keys a query; SQLite sorts them, so that neighbours are read together
READ_ON = 500  # rows at a time that are read in the order of their insertion
PAGES_KIB = 65536  # of the file that SQLite keeps in memory
MAPPED_BYTES = 1 << 28  # of the file that are read without a copy

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Words:
    """What messages say of a file.

    Attributes:
        kept: what it keeps, such as ``translations``.
        done: what is not lost, such as ``what was translated``.
        again: what follows when it is deleted, such as ``its segments are translated anew``.
        elsewhere: how to have it in another place.
    """

    kept: str
    done: str
    again: str
    elsewhere: str


class SqliteFile:
    """One open file with one table, ``key BLOB NOT NULL PRIMARY KEY`` and more columns.

    A context manager; it opens the file at once and may be used from one thread.

    Args:
        path: it and its folder are made where they are missing.
        schema: makes the table if it is not there.
        words: for messages.

    Raises:
        ArtifactError: here or later, the file cannot be read or written: no permission, a full disk, not a database.
    """

    def __init__(self, path: Path, schema: str, words: Words):
        self.path, self._words = path, words
        with self._sentences():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._last_found = 0  # rowid: what comes behind it is probably asked for next
            self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
            try:
                self._prepare(schema)
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self, schema: str) -> None:
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
        self._connection.execute(schema)
        most = self._connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self._at_a_time = min(most, ASKED_AT_A_TIME)

    def __enter__(self) -> SqliteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _rows(self, select: str, keys: Iterable[bytes]) -> Iterator[Row]:
        """The rows of the keys that are there, in any order.

        What is asked for again mostly comes in the order in which it was inserted: rows are first read on from the
        last one that was found, which costs a sixth of searching for them.

        Args:
            select: the query before its ``WHERE``; its first columns are ``rowid`` and ``key``.
            keys: no two alike.
        """
        left = set(keys)
        with self._sentences():
            read_on = self._read_on(select, left)
            yield from read_on
            last = 0
            searched = list(left)
            for start in range(0, len(searched), self._at_a_time):
                asked = searched[start : start + self._at_a_time]
                marks = ",".join("?" * len(asked))
                rows = self._connection.execute(f"{select} WHERE key IN ({marks})", asked).fetchall()
                last = max([last, *(row[0] for row in rows)])
                yield from rows
            if last and not read_on:
                self._last_found = last

    def _read_on(self, select: str, left: set[bytes]) -> list[Row]:
        """Rows behind the last one that was found, while half of them are wanted; ``left`` loses their keys."""
        query = f"{select} WHERE rowid > ? ORDER BY rowid LIMIT ?"
        found: list[Row] = []
        while left:
            # All at once: an unfinished query would keep this connection from writing.
            rows = self._connection.execute(query, (self._last_found, min(READ_ON, len(left)))).fetchall()
            wanted = [row for row in rows if row[1] in left]
            left.difference_update([row[1] for row in wanted])
            found += wanted
            if wanted:
                self._last_found = wanted[-1][0]
            if 2 * len(wanted) <= len(rows):
                break
        return found

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> int:
        """Insert rows for good, all or none of them.

        Returns:
            How many were not there before.
        """
        with self._sentences():
            before = self._connection.total_changes
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(statement, rows)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back by itself
                    self._connection.execute("ROLLBACK")
                raise
            return self._connection.total_changes - before

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ArtifactError(f"{self.path}: {self._reason(error)}") from None

    def _reason(self, error: sqlite3.Error | OSError) -> str:
        words = self._words
        if isinstance(error, OSError):
            return f"cannot keep {words.kept} there ({error.strerror}). {words.elsewhere}"
        if _is(error, sqlite3.SQLITE_FULL) or _is(error, sqlite3.SQLITE_IOERR):
            return f"cannot write ({error}). Free some space and run again: {words.done} is kept."
        if _is(error, sqlite3.SQLITE_NOTADB) or _is(error, sqlite3.SQLITE_CORRUPT):
            return f"is not a sound SQLite file ({error}). Delete it and run again; {words.again}."
        if _is(error, sqlite3.SQLITE_BUSY):
            return f"another process kept it locked for {WAIT:.0f} seconds. Wait for that process and run again."
        return f"cannot be used ({error}). Check its permissions. {words.elsewhere}"


def _is(error: sqlite3.Error, code: int) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == code  # the low byte; the rest says more
