"""Files and hub datasets as numbered records, before anything is known about their layout.

JSON, CSV and TSV are read here and not by a library, because a library guesses types: an id ``007``
becomes 7 and the answer ``NA`` becomes nothing. A broken line refuses the whole file, by number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langxfer.errors import ArtifactError, DataError
from langxfer.hub import first_line

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (".json", ".jsonl", *_DELIMITERS, ".parquet")


@dataclass(frozen=True)
class Record:
    """One raw row: its number from 1, where it stands (``file:line`` if it has a line), and what stands there."""

    number: int
    where: str
    value: Any


def read_bytes(path: Path, option: str) -> bytes:
    """The content of a file that an option of a recipe names.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{option} {path} cannot be read ({error.strerror or error}). Check the path, which is taken from the "
            "recipe's folder if it is relative."
        ) from None


def read_text(path: Path, option: str) -> str:
    """The same as text: UTF-8, with or without a byte order mark.

    Raises:
        DataError: it cannot be read, or is not UTF-8; with the line number.
    """
    try:
        return read_bytes(path, option).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line} is not UTF-8 ({error.reason}). Save the file as UTF-8.") from None


def read_file(path: Path, option: str = "data.source") -> list[Record]:
    """All records of a .json, .csv, .tsv or .parquet file; any other holds JSON, one record a line or in an array.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or is broken; with the line number.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    text = read_text(path, option)
    if suffix in _DELIMITERS:
        return _table(text, path, _DELIMITERS[suffix])
    if suffix == ".json" or _is_array(text):
        return _array(text, path)
    return _lines(text, path)


def read_hub(
    name: str, subset: str | None, split: str, revision: str | None, option: str = "data.source"
) -> list[Record]:
    """All records of one split of a hub dataset; without network, of what was downloaded before.

    Raises:
        DataError: it cannot be loaded; the message has the library's own reason.
        ArtifactError: the hub does not answer, and nothing was downloaded before: the name may be right.
    """
    from datasets import load_dataset

    try:
        with _no_progress_bars():
            dataset = load_dataset(name, subset, split=split, revision=revision)
    # A hub answers in the exceptions of several HTTP, file-system and Arrow libraries, which change by version.
    except Exception as error:
        raise _kind_of(error)(
            f"{option} {name} (subset {subset or 'default'}, split {split}, revision {revision}) cannot be loaded: "
            f"{first_line(error)}. Check the name and the network, or give a local file."
        ) from error
    return [Record(number, f"{name}: row {number}", row) for number, row in enumerate(dataset, 1)]


def hub_file(repository: str, name: str, revision: str, option: str) -> Path:
    """A file of a hub dataset's repository, downloaded, or taken from what was downloaded before.

    Raises:
        DataError: there is no such file, or no way to get it.
        ArtifactError: as above.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, repo_type="dataset", revision=revision))
    # As above.
    except Exception as error:
        raise _kind_of(error)(
            f"{option}: {repository} at {revision[:8]} gives no file {name} ({first_line(error)}). Check the name and "
            "the network, or give a local file."
        ) from None


def _kind_of(error: Exception) -> type[ArtifactError] | type[DataError]:
    """Of an error of a hub's libraries: nobody answered, or the answer was no."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    return ArtifactError if isinstance(error, ConnectionError | LocalEntryNotFoundError) else DataError


def _array(text: str, path: Path) -> list[Record]:
    content = _parse(text, path, 1)
    rows = content.get("data") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        found = f"an object with {', '.join(content)}" if isinstance(content, dict) else type(content).__name__
        raise DataError(f'{path} holds {found}. Expected an array of rows, or {{"data": [...]}}.')
    return [Record(number, f"{path.name}: row {number}", row) for number, row in enumerate(rows, 1)]


def _is_array(text: str) -> bool:
    """Whether JSON is one array of rows. An array of other things in the first line is a row, and a wrong one."""
    first = text.lstrip().partition("\n")[0]
    if not first.startswith("["):
        return False
    try:
        return all(isinstance(row, dict) for row in json.loads(first))
    except (ValueError, RecursionError):
        return True  # goes on in the next line, or is broken, and reading it says how


def _lines(text: str, path: Path) -> list[Record]:
    # Only a line feed ends a record: text may hold U+2028 and other characters that splitlines() obeys.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    return [
        Record(row, f"{path.name}:{number}", _parse(line, path, number)) for row, (number, line) in enumerate(lines, 1)
    ]


def _parse(text: str, path: Path, first: int) -> Any:
    """The JSON in ``text``, whose first line is line ``first`` of the file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        by_line = error.msg == "Extra data" and path.suffix.lower() == ".json"
        advice = " A file with one object a line must be named .jsonl." if by_line else ""
        raise DataError(f"{path}:{first + error.lineno - 1} is not JSON ({error.msg}).{advice}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:{first} is not JSON that can be read ({error}).") from None


def _table(text: str, path: Path, delimiter: str) -> list[Record]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return _rows_of_table(lines, path)
    except csv.Error as error:
        raise DataError(f"{path}:{lines.line_num} is not a table that can be read ({error}).") from None


def _rows_of_table(lines: Any, path: Path) -> list[Record]:
    header: list[str] = next(lines, [])
    if len(set(header)) < len(header):
        raise DataError(f"{path}:1 names a column twice: {', '.join(header)}.")
    records: list[Record] = []
    start = lines.line_num + 1
    for cells in lines:
        if cells:
            if len(cells) != len(header):
                raise DataError(
                    f"{path}:{start} has {len(cells)} cells, the header has {len(header)}. "
                    "Quote cells that hold the delimiter or a line break."
                )
            values = dict(zip(header, cells, strict=True))
            records.append(Record(len(records) + 1, f"{path.name}:{start}", values))
        start = lines.line_num + 1
    return records


def _parquet(path: Path) -> list[Record]:
    from datasets import load_dataset

    # Streaming makes no copy of the data; the lock file that is left goes with the temporary folder.
    try:
        with TemporaryDirectory() as cache, _no_progress_bars():
            dataset = load_dataset("parquet", data_files=str(path), split="train", streaming=True, cache_dir=cache)
            return [Record(number, f"{path.name}: row {number}", row) for number, row in enumerate(dataset, 1)]
    # Arrow, fsspec and datasets each have their own exceptions for a broken file.
    except Exception as error:
        raise DataError(f"{path} cannot be read as Parquet: {first_line(error)}") from error


def parquet_size(path: Path, option: str = "data.source") -> int:
    """The number of rows in a Parquet file, from its footer alone.

    Raises:
        DataError: the file is broken, or holds no rows.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            rows = file.metadata.num_rows
    except (ArrowException, OSError) as error:  # Arrow's own exceptions for a broken file are among both
        raise DataError(f"{path} cannot be read as Parquet: {first_line(error)}") from None
    if not rows:
        raise DataError(f"{option} {path}: it holds no rows.")
    return rows


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Switch off the bars of datasets and huggingface_hub, and back on where they were on."""
    import datasets.utils
    import huggingface_hub.utils

    switched = [lib for lib in (datasets.utils, huggingface_hub.utils) if not lib.are_progress_bars_disabled()]
    for library in switched:
        library.disable_progress_bars()
    try:
        yield
    finally:
        for library in switched:
            library.enable_progress_bars()
