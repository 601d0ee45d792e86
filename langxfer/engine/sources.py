"""Reading instruction data: files and hub datasets, in the formats alpaca, messages, oasst and parallel.

Rows that cannot be used are given back with a reason, never silently lost. A broken file is refused whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import langxfer
from langxfer.data import Turn
from langxfer.engine.store import file_digest
from langxfer.errors import DataError

if TYPE_CHECKING:
    from langxfer.recipe import Data

SHIPPED = "langxfer:"  # prefix of files that come with the package
HUB = re.compile(r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
BY_DATASETS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
SUFFIXES = (".json", ".jsonl", *BY_DATASETS)


@dataclass(frozen=True)
class SourceRow:
    """One row: the same turn in one or more languages, by BCP-47 tag."""

    id: str
    turns: Mapping[str, Turn]


@dataclass(frozen=True)
class Rejected:
    """A row (its id or number) that cannot be used, and why."""

    row: str
    reason: str


class _Unusable(Exception):
    """Why a row cannot be used."""


def shipped(name: str) -> Path:
    """The file that ``langxfer:NAME`` stands for."""
    return Path(langxfer.__file__).parent / "builtin" / "quickstart" / name


def locate(data: Data) -> Path | None:
    """The file, or None for a hub dataset.

    Raises:
        DataError: there is no such file.
    """
    if data.source.startswith(SHIPPED):
        path = shipped(data.source.removeprefix(SHIPPED))
        if not path.is_file():
            known = ", ".join(sorted(SHIPPED + item.name for item in path.parent.glob("*.jsonl")))
            raise DataError(f"data.source {data.source}: langxfer comes with no such file. It has: {known}.")
        return path
    path = Path(data.source)
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise DataError(f"data.source {path}: {path.suffix or 'no suffix'} cannot be read. Expected {', '.join(SUFFIXES)}.")
        return path
    if path.suffix in SUFFIXES or not HUB.match(data.source):
        raise DataError(f"data.source {data.source}: no such file. Relative paths are taken from the recipe's folder.")
    return None


def identity(data: Data) -> dict[str, Any]:
    """What decides the rows, as JSON values: a file's SHA-256, or a hub dataset's commit."""
    path = locate(data)
    if path is not None:
        return {"sha256": file_digest(path), "suffix": path.suffix}
    return {"hub": data.source, "subset": data.subset, "split": data.split, "commit": _hub_commit(data)}


def _hub_commit(data: Data) -> str:
    if data.revision and re.fullmatch("[0-9a-f]{40}", data.revision):
        return data.revision
    from huggingface_hub import dataset_info
    from huggingface_hub.errors import HfHubHTTPError

    try:
        commit = dataset_info(data.source, revision=data.revision, timeout=20).sha
    except (OSError, ValueError, HfHubHTTPError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"data.source {data.source}: there is no file of that name, and the hub did not answer for it ({reason[:160]}). "
            "Check the name and the network, or give the path of a file."
        ) from None
    return str(commit)


def read(data: Data) -> tuple[list[SourceRow], list[Rejected]]:
    """All usable rows in ranked order, and the others with their reasons.

    Raises:
        DataError: the file is broken, or holds no usable row at all.
    """
    path = locate(data)
    raw = list(_raw_rows(data, path))
    if data.format == "oasst":
        raw = _trees(raw)
    rows: list[SourceRow] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    parse = PARSERS[data.format]
    for number, row in enumerate(raw, 1):
        name = str(row.get(data.fields.id) or f"row-{number}") if isinstance(row, dict) else f"row-{number}"
        try:
            if not isinstance(row, dict):
                raise _Unusable(f"not an object but {type(row).__name__}")
            found = parse(name, row, data)
            if found.id in seen:
                raise _Unusable("duplicate id")
        except _Unusable as problem:
            rejected.append(Rejected(name, str(problem)))
            continue
        seen.add(found.id)
        rows.append(found)
    if data.format == "oasst":
        rows.sort(key=lambda row: row.rank)  # type: ignore[attr-defined]
    if not rows:
        raise DataError(_nothing_usable(data, raw, rejected))
    return rows, rejected


def split(rows: list[SourceRow], data: Data) -> tuple[list[SourceRow], list[SourceRow]]:
    """Training and validation rows.

    Validation rows are chosen by a hash of (seed, id) out of ALL rows before anything else, so that
    they are the same for every ``limit``; ``limit`` then takes a prefix of what is left.

    Raises:
        DataError: no training row would be left.
    """
    if data.validation >= len(rows):
        raise DataError(
            f"data.validation is {data.validation}, but there are only {len(rows)} usable rows. Leave at least one to train on."
        )
    ranked = sorted(rows, key=lambda row: hashlib.sha256(f"{data.seed}:{row.id}".encode()).digest())
    chosen = {row.id for row in ranked[: data.validation]}
    left = [row for row in rows if row.id not in chosen]
    return left[: data.limit], [row for row in rows if row.id in chosen]


# ------------------------------------------------------------------------------ raw rows


def _raw_rows(data: Data, path: Path | None) -> Iterable[Any]:
    if path is None:
        return _hub_rows(data)
    if path.suffix == ".jsonl":
        return _jsonl(path)
    if path.suffix == ".json":
        return _json(path)
    return _table(path)


def _jsonl(path: Path) -> Iterator[Any]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except (json.JSONDecodeError, UnicodeDecodeError) as error:
                    raise DataError(f"{path}:{number} is not JSON: {_why(error)}. Every line must be one JSON object.") from None


def _json(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", 1)
        raise DataError(f"{path}:{line} is not JSON: {_why(error)}. Is it JSON lines? Then name it .jsonl.") from None
    if isinstance(found, dict) and isinstance(found.get("data"), list):
        found = found["data"]
    if not isinstance(found, list):
        raise DataError(f"{path}: expected an array of objects, found {type(found).__name__}.")
    return found


def _why(error: Exception) -> str:
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else "it is not UTF-8"


def _table(path: Path) -> list[Any]:
    import tempfile

    import datasets

    datasets.disable_progress_bars()
    options = {"sep": "\t"} if path.suffix == ".tsv" else {}
    if BY_DATASETS[path.suffix] == "csv":
        options |= {"keep_default_na": False, "dtype": str}  # "NA" and "null" are words of someone's text
    with tempfile.TemporaryDirectory() as cache:
        try:
            table = datasets.load_dataset(
                BY_DATASETS[path.suffix], data_files=str(path), split="train", cache_dir=cache, **options
            )
            return table.to_list()
        except (OSError, ValueError, datasets.exceptions.DatasetGenerationError) as error:
            cause = error.__cause__ or error
            reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
            raise DataError(f"{path}: cannot be read as {path.suffix[1:]} ({reason[:200]}).") from None


def _hub_rows(data: Data) -> list[Any]:
    import datasets

    try:
        table = datasets.load_dataset(data.source, data.subset, split=data.split, revision=_hub_commit(data))
    except (OSError, ValueError) as error:
        raise DataError(f"data.source {data.source}: {(str(error).splitlines() or ['the hub gave no data'])[0]}") from None
    return table.to_list()


# ------------------------------------------------------------------------------ formats


def _text(row: Mapping[str, Any], field: str, *, needed: bool = True) -> str:
    value = row.get(field)
    if value is None and not needed:
        return ""
    if value is None:
        raise _Unusable(f"no field {field!r}")
    if not isinstance(value, str):
        raise _Unusable(f"field {field!r} is {type(value).__name__}, not text")
    if needed and not value.strip():
        raise _Unusable(f"field {field!r} is empty")
    return value.strip()


def _instruction(row: Mapping[str, Any], data: Data, language: str) -> Turn:
    prompt = _text(row, data.fields.instruction)
    extra = _text(row, data.fields.input, needed=False)
    return Turn(f"{prompt}\n\n{extra}" if extra else prompt, _text(row, data.fields.output), language)


def _alpaca(name: str, row: Mapping[str, Any], data: Data) -> SourceRow:
    return SourceRow(name, {data.source_language: _instruction(row, data, data.source_language)})


def _messages(name: str, row: Mapping[str, Any], data: Data) -> SourceRow:
    """The first user turn with the answer after it; a system message before it is put before the prompt."""
    messages = row.get(data.fields.messages)
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise _Unusable(f"field {data.fields.messages!r} is not a list of messages")
    system = ""
    for message, following in zip(messages, [*messages[1:], {}], strict=True):
        if message.get("role") == "system":
            system = _text(message, "content", needed=False)
        elif message.get("role") == "user" and following.get("role") == "assistant":
            prompt, response = _text(message, "content"), _text(following, "content")
            turn = Turn(f"{system}\n\n{prompt}" if system else prompt, response, data.source_language)
            return SourceRow(name, {data.source_language: turn})
    raise _Unusable("no user message that an assistant message follows")


@dataclass(frozen=True)
class _Ranked(SourceRow):
    rank: tuple[int, str] = (0, "")


def _trees(raw: list[Any]) -> list[Any]:
    """Trees as they are; a flat list of messages (as hubs have it) becomes trees of first turns."""
    if not all(isinstance(row, dict) and "message_id" in row and "prompt" not in row for row in raw):
        return raw
    replies: dict[str, list[Any]] = {}
    for row in raw:
        if row.get("parent_id"):
            replies.setdefault(row["parent_id"], []).append(row)
    roots = [row for row in raw if not row.get("parent_id")]
    return [
        {"message_tree_id": root["message_id"], "prompt": {**root, "replies": replies.get(root["message_id"], [])}} for root in roots
    ]


def _oasst(name: str, row: Mapping[str, Any], data: Data) -> SourceRow:
    """A tree's first turn with its best-ranked answer; the list is ordered by rank, then message id."""
    prompt = row.get("prompt")
    if not isinstance(prompt, dict):
        raise _Unusable("no tree: field 'prompt' is not a message")
    if prompt.get("lang") != data.source_language:
        raise _Unusable(f"the tree is in {prompt.get('lang')}, not in {data.source_language}")
    replies = [
        reply
        for reply in prompt.get("replies") or []
        if reply.get("role") == "assistant" and not reply.get("deleted") and (reply.get("text") or "").strip()
    ]
    if not replies:
        raise _Unusable("no answer to the first turn")

    def rank(reply: Mapping[str, Any]) -> tuple[int, str]:
        value = reply.get("rank")
        return (value if isinstance(value, int) else 1 << 30, str(reply.get("message_id")))

    best = min(replies, key=rank)
    turn = Turn(_text(prompt, "text"), _text(best, "text"), data.source_language)
    return _Ranked(str(row.get("message_tree_id") or name), {data.source_language: turn}, rank(best))


def _parallel(name: str, row: Mapping[str, Any], data: Data) -> SourceRow:
    turns: dict[str, Turn] = {}
    for tag in (data.source_language, *data.target_languages):
        inner = row.get(tag)
        if isinstance(inner, dict):
            try:
                turns[tag] = _instruction(inner, data, tag)
            except _Unusable as problem:
                raise _Unusable(f"{tag}: {problem}") from None
        elif tag == data.source_language:
            raise _Unusable(f"no side {tag!r}")
    if len(turns) == 1:
        raise _Unusable(f"no side in {' or '.join(data.target_languages)}")
    return SourceRow(name, turns)


PARSERS: Mapping[str, Callable[[str, Mapping[str, Any], Any], SourceRow]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "oasst": _oasst,
    "parallel": _parallel,
}


def _nothing_usable(data: Data, raw: list[Any], rejected: list[Rejected]) -> str:
    if not raw:
        return f"data.source {data.source}: it holds no rows."
    counts = Counter(item.reason for item in rejected).most_common(3)
    listed = ", ".join(f"{reason} ({count})" for reason, count in counts)
    fields = sorted({name for row in raw[:100] if isinstance(row, dict) for name in row})
    return (
        f"data.source {data.source}: none of its {len(raw)} rows can be read as {data.format}: {listed}. "
        f"Fields found: {', '.join(fields) or 'none'}. Name yours in data.fields, or choose another data.format."
    )
