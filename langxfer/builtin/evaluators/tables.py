"""Rows of benchmarks: from local JSONL and CSV files, or from a hub dataset at a fixed commit."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langxfer.errors import DataError

SUFFIXES = (".jsonl", ".csv")
COMMIT = re.compile("[0-9a-f]{40}")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Record:
    """A row, and where it was found, for messages."""

    where: str
    values: Mapping[str, Any]

    def text(self, column: str) -> str:
        """A cell that must hold a text.

        Raises:
            DataError: the column is missing, or holds something else.
        """
        value = self.values.get(column)
        if not isinstance(value, str) or not value.strip():
            columns = ", ".join(map(str, self.values)) or "none"
            raise DataError(f"{self.where}: {column} is {value!r:.60}, expected a text. Columns there: {columns}.")
        return value


def absolute(source: str, folder: Path) -> str:
    """A source of a recipe in ``folder``: what exists there is a local path, and becomes absolute."""
    place = folder / source
    return str(place.resolve()) if place.exists() else source


def local(source: str, option: str) -> Path | None:
    """The local path that a source names; None for the name of a hub dataset.

    Raises:
        DataError: it is neither.
    """
    path = Path(source)
    if path.exists():
        return path
    if HUB_NAME.fullmatch(source) and not source.startswith(".") and not source.endswith(SUFFIXES):
        return None
    raise DataError(f"{option} {source}: there is no such file or folder, and it is no name of a hub dataset.")


def fixed(revision: str | None) -> str | None:
    """A revision of a recipe, which must be a full commit, so that equal recipes ask equal questions.

    Raises:
        ValueError: it is a name that can move.
    """
    if revision is not None and not COMMIT.fullmatch(revision):
        raise ValueError(f'"{revision}" can move. Give the full commit, 40 hexadecimal digits')
    return revision


def files_digest(paths: Sequence[Path]) -> str:
    """SHA-256 over names and contents of files."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.name}:{hashlib.sha256(_bytes(path)).hexdigest()};".encode())
    return total.hexdigest()


def read_files(paths: Sequence[Path]) -> Iterator[Record]:
    """The rows of JSONL and CSV files, one file after the other.

    Raises:
        DataError: a file cannot be read; the message says which line.
    """
    for path in paths:
        yield from _csv(path) if path.suffix == ".csv" else _jsonl(path)


def read_hub(name: str, subset: str, split: str, revision: str | None, option: str) -> list[Record]:
    """The rows of a split of a hub dataset; without network, what was downloaded before.

    Raises:
        DataError: there is no fixed commit, or it cannot be loaded.
    """
    if revision is None:
        raise DataError(f"{option} {name} is no local path, and without a revision it can change. Give its commit.")
    import datasets

    try:
        rows = datasets.load_dataset(name, subset, split=split, revision=revision)
    # A hub answers in the exceptions of several HTTP, file-system and Arrow libraries, which change by version.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{option} {name} (subset {subset}, split {split}, revision {revision[:8]}) cannot be loaded: {reason}. "
            "Check the name and the network, or give a local folder."
        ) from error
    return [Record(f"{name} {subset}: row {number}", row) for number, row in enumerate(rows, 1)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from None


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line} is not UTF-8. Save the file as UTF-8.") from None


def _jsonl(path: Path) -> Iterator[Record]:
    # Only line feeds end a line of JSONL: a text may hold U+2028 and its like.
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number} is not JSON ({error}). Expected one object a line.") from None
        if not isinstance(values, dict):
            raise DataError(f"{path}:{number} holds {line.strip()[:60]}, expected an object.")
        yield Record(f"{path.name}:{number}", values)


def _csv(path: Path) -> Iterator[Record]:
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = next(rows, [])
        start = rows.line_num + 1
        for cells in rows:
            if cells and len(cells) != len(header):
                raise DataError(f"{path}:{start} has {len(cells)} cells, the header has {len(header)}.")
            if cells:
                yield Record(f"{path.name}:{start}", dict(zip(header, cells, strict=True)))
            start = rows.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num} is not a table that can be read ({error}).") from None
