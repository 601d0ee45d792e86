"""What a model was asked once: an SQLite file of answers and scores, beside the artifacts and shared by all runs.

What a killed evaluation had computed is there for the next one. Several processes may read and write at a time.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langxfer.engine.store import canonical
from langxfer.sqlite_file import SqliteFile, Words

FILE = "answers.sqlite"  # in the folder of artifacts
KEY_BYTES = 16  # two of a billion answers share a key with a probability of 1e-21
SCHEMA = "CREATE TABLE IF NOT EXISTS answers (key BLOB NOT NULL PRIMARY KEY, value TEXT NOT NULL)"
WORDS = Words(
    kept="answers",
    done="what was answered",
    again="its answers are computed anew",
    elsewhere="Choose another folder with --runs.",
)


class AnswerCache(SqliteFile):
    """JSON values under digests of (model, request).

    Args:
        path: the SQLite file; it and its folder are made where they are missing.
        model: JSON values, all that decides what a request is answered, beside the request.

    Raises:
        ArtifactError: here or later, the file cannot be read or written.
    """

    def __init__(self, path: Path, model: Mapping[str, Any]):
        self._model = hashlib.blake2b(canonical(model).encode()).digest()
        super().__init__(path, SCHEMA, WORDS)

    def __enter__(self) -> AnswerCache:
        return self

    def find(self, requests: Iterable[str]) -> dict[str, Any]:
        """The requests that are in the cache, with what was answered."""
        by_key = {self._key(request): request for request in requests}
        found = self._rows("SELECT rowid, key, value FROM answers", by_key)
        return {by_key[key]: json.loads(value) for _, key, value in found}

    def add(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """Keep answers for good, all or none of them. One that is there already stays as it is.

        A number that is not finite is a failure, and is not kept.

        Returns:
            What is kept now, so that processes which asked the same at once agree on the answer.
        """
        rows = [(self._key(request), json.dumps(value)) for request, value in made.items() if _finite(value)]
        all_new = self._insert("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows) == len(rows)
        return dict(made) if all_new else {**made, **self.find(made)}

    def _key(self, request: str) -> bytes:
        text = request.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(self._model + text, digest_size=KEY_BYTES).digest()


def _finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)
