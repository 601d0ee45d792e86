"""What evaluators read: rows and lines of local files, and datasets of the hub at a fixed commit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langxfer.errors import DataError
from langxfer.records import SUFFIXES, Record, read_bytes, read_file, read_hub, read_text

COMMIT = re.compile("[0-9a-f]{40}")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Row:
    """An object, and where it was found, for messages."""

    where: str
    values: Mapping[str, Any]

    def text(self, field: str, default: str | None = None) -> str:
        """A field that must hold a text, blank or not; it may be absent if there is a default.

        Raises:
            DataError: it holds something else.
        """
        value = self.values.get(field, default)
        if not isinstance(value, str):
            fields = ", ".join(map(str, self.values)) or "none"
            raise DataError(f"{self.where}: {field} is {value!r:.60}, expected a text. Fields there: {fields}.")
        return value

    def words(self, field: str) -> str:
        """A field that must hold a text that is not blank.

        Raises:
            DataError: it holds something else.
        """
        text = self.text(field)
        if not text.strip():
            raise DataError(f"{self.where}: {field} is {text!r:.60}, expected a text that is not blank.")
        return text


def rows(path: Path, option: str) -> list[Row]:
    """The objects of a JSON, JSON lines, CSV, TSV or Parquet file.

    Raises:
        DataError: the file cannot be read, or holds something else; the message says in which line.
    """
    return [_row(record) for record in read_file(path, option)]


def hub_rows(name: str, subset: str, split: str, revision: str | None, option: str) -> list[Row]:
    """The rows of a split of a hub dataset; without network, what was downloaded before.

    Raises:
        DataError: there is no fixed commit, or it cannot be loaded.
    """
    if revision is None:
        raise DataError(f"{option} {name} is no local path, and without a revision it can change. Give its commit.")
    return [_row(record) for record in read_hub(name, subset, split, revision, option)]


def lines(path: str, option: str) -> list[str]:
    """The lines of a text file; only line feeds end one, as in line-aligned corpora.

    Raises:
        DataError: it cannot be read.
    """
    found = read_text(Path(path), option).split("\n")
    return [line.removesuffix("\r") for line in (found[:-1] if not found[-1] else found)]


def digest_of(path: Path, option: str) -> str:
    """SHA-256 of a file's content.

    Raises:
        DataError: it cannot be read.
    """
    return hashlib.sha256(read_bytes(path, option)).hexdigest()


def digest_of_all(paths: Sequence[Path], option: str) -> str:
    """SHA-256 over names and contents of files.

    Raises:
        DataError: one cannot be read.
    """
    text = "".join(f"{path.name}:{digest_of(path, option)};" for path in paths)
    return hashlib.sha256(text.encode()).hexdigest()


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
    raise DataError(
        f"{option} {source}: there is no such file or folder, and it is no name of a hub dataset. Check the path, "
        "which is taken from the recipe's folder if it is relative."
    )


def fixed(revision: str | None) -> str | None:
    """A revision of a recipe, which must be a full commit, so that equal recipes ask equal questions.

    Raises:
        ValueError: it is a name that can move.
    """
    if revision is not None and not COMMIT.fullmatch(revision):
        raise ValueError(f'"{revision}" can move. Give the full commit, 40 hexadecimal digits')
    return revision


def _row(record: Record) -> Row:
    if not isinstance(record.value, Mapping):
        raise DataError(f"{record.where} is {record.value!r:.60}, expected an object.")
    return Row(record.where, record.value)
