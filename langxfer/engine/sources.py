"""Reading instruction data: files and hub datasets, in the formats alpaca, messages, oasst and parallel.

Rows that cannot be used are given back with a reason, never silently lost. A broken file is refused whole.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import langxfer
from langxfer import hub
from langxfer.engine.formats import FORMATS, Rejected, SourceRow
from langxfer.engine.store import file_digest
from langxfer.errors import DataError, RecipeError
from langxfer.records import SUFFIXES, Record, read_file, read_hub

if TYPE_CHECKING:
    from langxfer.recipe import Data

SHIPPED = "langxfer:"  # prefix of files that come with the package
HUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*")

USED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "alpaca": ("id", "instruction", "input", "output"),
    "messages": ("id", "messages"),
    "oasst": (),
    "parallel": ("id", "instruction", "input", "output"),
}
OPTIONAL_FIELDS = ("id", "input")

# ---------------------------------------------------------------- where the data is, and which data it is


def locate(data: Data) -> Path | None:
    """The file, or None for a hub dataset.

    Raises:
        DataError: there is no such file, or it is not of a kind that can be read; says where it looked.
    """
    if data.source.startswith(SHIPPED):
        return _shipped(data.source)
    path = Path(data.source)
    if path.is_dir():
        raise DataError(f"data.source {path} is a folder. Name a file in it ({', '.join(SUFFIXES)}).")
    known = path.suffix.lower() in SUFFIXES
    if path.exists():
        if not known:
            kind = path.suffix or "no suffix"
            raise DataError(f"data.source {path}: {kind} cannot be read. Expected {', '.join(SUFFIXES)}.")
        return path
    if known or not HUB.fullmatch(data.source):
        raise DataError(
            f"data.source {data.source}: no such file (looked for {path.absolute()}). "
            "Relative paths are taken from the recipe's folder; a hub dataset is written org/name."
        )
    return None


def _shipped(source: str) -> Path:
    folder = Path(langxfer.__file__).parent / "builtin" / "quickstart"
    files = {path.name: path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES}
    name = source.removeprefix(SHIPPED)
    if name not in files:
        known = ", ".join(SHIPPED + name for name in files)
        raise DataError(
            f"data.source {source}: langxfer comes with no such file (looked in {folder}). It has: {known}."
        )
    return files[name]


def identity(data: Data) -> dict[str, Any]:
    """What decides the rows, as JSON values: a file's SHA-256, or a hub dataset's commit.

    Raises:
        DataError: there is no such file, or the hub cannot say which commit a branch stands for.
        RecipeError: options of ``data`` that its source or format does not use.
    """
    path = locate(data)
    check_options(data, path)
    if path is None:
        return {"hub": data.source, "subset": data.subset, "split": data.split, "commit": _hub_commit(data)}
    try:
        return {"sha256": file_digest(path), "suffix": path.suffix.lower()}
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def _hub_commit(data: Data) -> str:
    return hub.commit("dataset", data.source, data.revision, "data.source")


def check_options(data: Data, path: Path | None) -> None:
    """Options without effect are refused. Defaults pass, because a filled recipe writes them out.

    Raises:
        RecipeError: options that the source (``path``, None for a hub dataset) or the format does not use.
    """
    problems = [
        f"data.fields.{option} has no effect with format {data.format}. Remove it"
        for option in type(data.fields).model_fields
        if option not in USED_FIELDS[data.format] and _renamed(data, option)
    ]
    if data.replies_per_prompt != 1 and data.format != "oasst":
        problems.append(f"data.replies_per_prompt has no effect with format {data.format}. Remove it")
    if path is not None:
        problems += [
            f"data.{option} has no effect with a file ({data.source}). Remove it"
            for option in ("subset", "split", "revision")
            if getattr(data, option) != type(data).model_fields[option].default
        ]
    if problems:
        raise RecipeError(problems)


def _renamed(data: Data, option: str) -> bool:
    return getattr(data.fields, option) != type(data.fields).model_fields[option].default


# ---------------------------------------------------------------- reading and splitting


def read(data: Data) -> tuple[list[SourceRow], list[Rejected]]:
    """All usable rows in ranked order, with unique ids, and the others with their reasons.

    A row without id is called ``row-N`` after its place in the data, counted from 1. What parallel rows
    lack in some of the target languages is in their ``missing``.

    Raises:
        DataError: the data is broken, lacks a field in every row, or holds no usable row at all.
        RecipeError: options of ``data`` that its source or format does not use.
    """
    path = locate(data)
    check_options(data, path)
    records = read_file(path) if path else read_hub(data.source, data.subset, data.split, _hub_commit(data))
    if not records:
        raise DataError(f"data.source {data.source}: it holds no rows.")
    _check_fields(records, data)
    rows: dict[str, SourceRow] = {}
    rejected: list[Rejected] = []
    for outcome in FORMATS[data.format](records, data):
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
        elif outcome.id in rows:
            rejected.append(Rejected(outcome.id, "duplicate id"))
        else:
            rows[outcome.id] = outcome
    if not rows:
        counts = Counter(item.reason for item in rejected).most_common()
        listed = ", ".join(f"{reason} ({count})" for reason, count in counts)
        raise DataError(
            f"data.source {data.source}: none of its {len(records)} rows can be read as {data.format}: {listed}. "
            "Correct data.fields and data.source_language, or choose another data.format."
        )
    return list(rows.values()), rejected


def split(rows: Sequence[SourceRow], data: Data) -> tuple[list[SourceRow], list[SourceRow]]:
    """Training and validation rows, both in ranked order.

    Validation rows are those with the smallest SHA-256 of ``seed:id`` out of ALL rows, chosen before anything
    else, so that they are the same for every ``limit``; ``limit`` then takes a prefix of what is left. Of a prompt
    with several rows the best one can be chosen, and the others are then not trained on either.

    Raises:
        DataError: no training row would be left.
    """
    best = [row for row in rows if row.again is None]
    if data.validation >= len(best):
        raise DataError(
            f"data.validation is {data.validation}, but there are only {len(best)} usable rows. "
            "Leave at least one to train on."
        )
    by_hash = sorted(best, key=lambda row: hashlib.sha256(f"{data.seed}:{row.id}".encode()).digest())
    chosen = {row.id for row in by_hash[: data.validation]}
    left = [row for row in rows if row.id not in chosen and row.again not in chosen]
    return left[: data.limit], [row for row in rows if row.id in chosen]


def _check_fields(records: Sequence[Record], data: Data) -> None:
    """A field that no row has is a matter of its name, not of the rows."""
    rows = [record.value for record in records if isinstance(record.value, Mapping)]
    if data.format == "oasst":
        if not any("prompt" in row or {"message_id", "parent_id", "text", "role"} <= row.keys() for row in rows):
            raise DataError(
                f"data.source {data.source} is not in OpenAssistant's layout: no row has prompt, nor message_id, "
                f"parent_id, text and role. Fields found: {_found(rows)}. Choose another data.format."
            )
        return
    sides = rows
    if data.format == "parallel":
        tags = (data.source_language, *data.target_languages)
        for tag in tags:
            if rows and not any(tag in row for row in rows):
                raise DataError(
                    f'data.source {data.source}: no row has a field "{tag}". Fields found: {_found(rows)}. Parallel '
                    "rows hold an object per language under its tag: check data.source_language and "
                    "data.target_languages."
                )
        sides = [row[tag] for row in rows for tag in tags if isinstance(row.get(tag), Mapping)]
    for option in USED_FIELDS[data.format]:
        _check_named(rows if option == "id" else sides, option, data)


def _check_named(rows: Sequence[Mapping[str, Any]], option: str, data: Data) -> None:
    name = getattr(data.fields, option)
    wanted = option not in OPTIONAL_FIELDS or _renamed(data, option)
    if rows and wanted and not any(name in row for row in rows):
        raise DataError(
            f'data.source {data.source}: no row has a field "{name}". Fields found: {_found(rows)}. '
            f"Name the right one in data.fields.{option}, or choose another data.format."
        )


def _found(rows: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(str(name) for row in rows for name in row)) or "none"
