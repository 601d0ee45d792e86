"""Prompts, baselines and difficulties: JSON, JSON lines or CSV, from disk or from AlpacaEval's hub repository."""

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

HUB = "hub:"  # hub:FILE is a file of the repository
REPOSITORY = "tatsu-lab/alpaca_eval"
COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Record:
    """An object of a file, and where it stands, for messages."""

    where: str
    values: Mapping[str, Any]

    def text(self, field: str, default: str | None = None) -> str:
        """A field that must hold a text, or may be absent if there is a default.

        Raises:
            DataError: it holds something else.
        """
        value = self.values.get(field, default)
        if not isinstance(value, str):
            fields = ", ".join(map(str, self.values)) or "none"
            raise DataError(f"{self.where}: {field} is {value!r:.60}, expected a text. Fields there: {fields}.")
        return value


def absolute(source: str, folder: Path) -> str:
    """A relative path taken from ``folder``; ``hub:…`` and absolute ones as they are."""
    return source if source.startswith(HUB) else str((folder / source).resolve())


def located(source: str, revision: str | None, option: str) -> Path:
    """The file that an option names; one on the hub is downloaded, or taken from what was downloaded before.

    Raises:
        DataError: it is on the hub, and there is no revision or no way to get it.
    """
    if not source.startswith(HUB):
        return Path(source)
    if revision is None:
        raise DataError(
            f"{option} {source}: what is on the hub can change. Give the commit of {REPOSITORY} as revision, "
            "40 hexadecimal digits."
        )
    from huggingface_hub import hf_hub_download

    name = source.removeprefix(HUB)
    try:
        return Path(hf_hub_download(REPOSITORY, name, repo_type="dataset", revision=revision))
    # What "no network" raises changes with the HTTP library beneath huggingface_hub, and so by version.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{option} {source}: {REPOSITORY} at {revision[:8]} gives no such file ({reason}). Check the name and the "
            "network, or give a local file."
        ) from None


def digest(path: Path, option: str) -> str:
    """SHA-256 of a file's content.

    Raises:
        DataError: it cannot be read.
    """
    return f"sha256:{hashlib.sha256(_bytes(path, option)).hexdigest()}"


def records(path: Path, option: str) -> Iterator[Record]:
    """The objects of a JSON list, or of JSON lines.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    text = _text(path, option)
    if text.lstrip()[:1] == "[":
        yield from _listed(text, path)
        return
    # Only line feeds end a line: a text may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}:{number}"
            yield Record(where, _object(_parsed(line, where), where))


def table(path: Path, option: str, columns: Sequence[str]) -> Iterator[Record]:
    """The rows of a CSV file with a header that has the columns.

    Raises:
        DataError: the file cannot be read, or has no such header.
    """
    rows = csv.DictReader(io.StringIO(_text(path, option), newline=""), strict=True)
    try:
        missing = [column for column in columns if column not in (rows.fieldnames or ())]
        if missing:
            raise DataError(
                f"{path}:1 has no column {', '.join(missing)}. Columns: {', '.join(rows.fieldnames or ())}."
            )
        for row in rows:
            yield Record(f"{path}:{rows.line_num}", row)
    except csv.Error as error:
        raise DataError(f"{path}:{rows.line_num} is not a table that can be read ({error}).") from None


def _listed(text: str, path: Path) -> Iterator[Record]:
    for number, item in enumerate(_parsed(text, str(path))):
        where = f"{path}: item {number}"
        yield Record(where, _object(item, where))


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}). Expected a list of objects, or one object a line.") from None


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where} is {value!r:.60}, expected an object.")
    return value


def _text(path: Path, option: str) -> str:
    try:
        return _bytes(path, option).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line} is not UTF-8. Save the file as UTF-8.") from None


def _bytes(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{option} {path} cannot be read ({error.strerror}).") from None
