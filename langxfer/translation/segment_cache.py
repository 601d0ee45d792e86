"""Translations that were paid for once: an SQLite file of segments, shared by all runs.

What a killed run had translated is there for the next one. Several processes may read and write at a time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from langxfer.components import Pair
from langxfer.sqlite_file import SqliteFile, Words

KEY_BYTES = 16  # two of a billion segments share a key with a probability of 1e-21
# A table of its own: files of the first version, with their table "segments", stay as they are.
SCHEMA = (
    "CREATE TABLE IF NOT EXISTS translations "
    "(key BLOB NOT NULL PRIMARY KEY, text NOT NULL, score REAL, retried INTEGER NOT NULL)"
)
SELECT = "SELECT rowid, key, text, score, retried FROM translations"
WORDS = Words(
    kept="translations",
    done="what was translated",
    again="its segments are translated anew",
    elsewhere="Choose another cache folder with LANGXFER_CACHE.",
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


class SegmentCache(SqliteFile):
    """Translated segments under digests of (scope, segment).

    A context manager; it opens the file at once and may be used from one thread.

    Args:
        path: the SQLite file; it and its folder are made where they are missing.

    Raises:
        ArtifactError: here or later, the file cannot be read or written: no permission, a full disk,
            not a database.
    """

    def __init__(self, path: Path):
        super().__init__(path, SCHEMA, WORDS)

    def __enter__(self) -> SegmentCache:
        return self

    def find(self, scope: bytes, segments: Iterable[str]) -> dict[str, Kept]:
        """The segments that are in the cache, with what is kept of them."""
        by_key = _keys(scope, segments)
        return {
            by_key[key]: (text if text.__class__ is str else _text(text), score, retried == 1)
            for _, key, text, score, retried in self._rows(SELECT, by_key)
        }

    def add(self, scope: bytes, made: Mapping[str, Kept]) -> dict[str, Kept]:
        """Keep translations for good, all or none of them. One that is there already stays as it is.

        Returns:
            What is kept now, so that processes which translated the same segment at once agree on its translation.
        """
        by_key = _keys(scope, made)
        rows = [(key, _storable(made[segment][0]), *made[segment][1:]) for key, segment in by_key.items()]
        all_new = self._insert("INSERT OR IGNORE INTO translations VALUES (?, ?, ?, ?)", rows) == len(rows)
        return dict(made) if all_new else self.find(scope, made)


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
