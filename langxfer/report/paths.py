"""Leaves folders of this machine out of what is shown to others: they mean nothing elsewhere, and name people."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

# A path of two parts or more within a text: /home/me/rows.jsonl, ~/rows/x, file:///data/x, C:\data\x.
WITHIN = re.compile(r"(?<![\w./~+-])(?:file://)?(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\'\"`,;:=|()\[\]{}<>]+){2,}")


def without_folders(value: Any) -> Any:
    """JSON values in which every absolute path has become the name of its file."""
    if isinstance(value, Mapping):
        return {name: without_folders(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item) for item in value]
    if not isinstance(value, str):
        return value
    return _name(value) if is_absolute(value) else shown_text(value)


def shown_text(text: str) -> str:
    """A text in which absolute paths have become names. Paths with spaces are not seen whole: see ``without_known``."""
    return WITHIN.sub(lambda match: _name(match[0]), text)


def without_known(text: str, known: Mapping[str, str]) -> str:
    """A text in which these have been replaced, the longest first."""
    for path in sorted(known, key=len, reverse=True):
        text = text.replace(path, known[path])
    return text


def known_paths(value: Any) -> dict[str, str]:
    """What ``without_known`` makes of the absolute paths among JSON values, and of the folders above them."""
    found: dict[str, str] = {}
    for path in _absolute(value):
        above = [str(own) for own in PurePosixPath(path).parents if len(own.parts) > 2]
        found |= {path: _name(path)} | {f"{own}/": "" for own in above} | dict.fromkeys(above, ".")
    return found


def _absolute(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _absolute(item)
    elif isinstance(value, str) and is_absolute(value):
        yield value


def is_absolute(text: str) -> bool:
    """Whether a text is a path from the root or from somebody's home."""
    return re.match(r"(?:/|~/|file:///|[A-Za-z]:[/\\]).", text) is not None


def _name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
