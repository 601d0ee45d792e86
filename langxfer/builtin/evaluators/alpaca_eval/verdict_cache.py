"""Verdicts that were paid for once: an SQLite file, by all that decides them. What failed is never kept."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langxfer.components import Contest, Verdict
from langxfer.errors import ArtifactError

FILE = "verdicts.sqlite"
WAIT = 60.0  # seconds to wait for another process's write


class VerdictCache:
    """Preferences under digests of (judge, messages, labels). A context manager.

    Args:
        folder: of the file, made where it is missing; None: verdicts are kept as long as the cache is open.
        judge: ``what()`` of the judge, all that decides its verdicts.

    Raises:
        ArtifactError: here or later, the file cannot be read or written.
    """

    def __init__(self, folder: Path | None, judge: Mapping[str, Any]):
        self._judge = judge
        self._place = ":memory:" if folder is None else str(folder / FILE)
        with self._sentences():
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self._place, timeout=WAIT)
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key BLOB NOT NULL PRIMARY KEY, preference REAL NOT NULL)"
            )

    def __enter__(self) -> VerdictCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def find(self, contest: Contest) -> Verdict | None:
        """The verdict on a contest, if there was one."""
        with self._sentences():
            query = "SELECT preference FROM verdicts WHERE key = ?"
            row = self._connection.execute(query, (self._key(contest),)).fetchone()
        return None if row is None else Verdict(row[0])

    def add(self, contests: Sequence[Contest], verdicts: Sequence[Verdict]) -> None:
        """Keep for good the verdicts that have a preference."""
        rows = [
            (self._key(contest), verdict.preference)
            for contest, verdict in zip(contests, verdicts, strict=True)
            if verdict.preference is not None
        ]
        with self._sentences(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", rows)

    def _key(self, contest: Contest) -> bytes:
        what = {"judge": self._judge, "messages": contest.messages, "labels": contest.labels}
        text = json.dumps(what, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ArtifactError(
                f"{self._place}: verdicts cannot be kept there ({error}). Free some space, check its permissions, or "
                "delete the file: its contests are then judged anew."
            ) from None
