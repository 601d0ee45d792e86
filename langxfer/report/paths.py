"""Leaves folders of this machine out of what is shown to others: they mean nothing elsewhere, and name people."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

# A path of two parts or more within a text: /home/me/rows.jsonl, ~/rows/x, file:///data/x, C:\data\x.
PART = r"(?:[^\s/\\'\"`,;:=|()\[\]{}<>]|(?<=\w)'(?=\w))+"
WITHIN = re.compile(rf"(?<![\w./~+-])(?:file://)?(?:~|[A-Za-z]:)?(?:[/\\]{PART}){{2,}}")
HOME = re.compile(
    r"(?:~|(?:file://)?/(?:home|Users)/[^/\n]+|[A-Za-z]:[/\\]Users[/\\][^/\\\n]+)[/\\]?"
)  # and no further
# Options of recipes that name files and folders. A text of another option that looks like a path may be a prompt.
FILES = frozenset(
    {
        *("source", "english_source", "model", "file", "files", "memory", "words", "prompts", "baseline"),
        *("difficulties", "categories", "identifier", "include_path"),
    }
)


def without_folders(value: Any, option: str = "") -> Any:
    """A recipe's values in which paths have become the names of their files; other texts stay as they are.

    A path is an absolute one of an option that names files, or of any option if it is there or in somebody's home.
    ``option`` is the value's own name.
    """
    if isinstance(value, Mapping):
        return {name: without_folders(item, _inner(option, name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item, option) for item in value]
    if not isinstance(value, str):
        return value
    return shown_file(value) if _is_path(value, option) else without_known(value, home())


def taken_from(folder: Path, words: Sequence[str], value: Any) -> Any:
    """What is set in a recipe, with the relative paths that lead to something in ``folder`` made absolute.

    Args:
        folder: where a file says that these are set.
        words: names that lead to the value: ``("data", "source")``.
        value: text, or anything with texts in it. Only options that name files have paths.
    """
    option = ""
    for word in words[1:] if words[0] == "model" else words:  # the section of that name, no option of a component
        option = _inner(option, word)
    return _absolute(folder, option, value)


def _absolute(folder: Path, option: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _absolute(folder, _inner(option, name), item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(folder, option, item) for item in value]
    if not isinstance(value, str) or option not in FILES:
        return value
    here = os.path.join(folder, value)
    return os.path.realpath(here) if value and os.path.exists(here) else value


def shown_file(text: str) -> str:
    """The name of the file that a path from the root leads to; any other text as it is."""
    return _name(text) if is_absolute(text) else text


def shown_text(text: str) -> str:
    """A text in which absolute paths have become names. Paths with spaces are not seen whole: see ``without_known``."""
    return WITHIN.sub(lambda match: _name(match[0]), text)


def without_known(text: str, known: Mapping[str, str]) -> str:
    """A text in which these have been replaced, the longest first; a folder that goes takes those below it along."""
    for path in sorted(known, key=len, reverse=True):
        if known[path]:
            text = text.replace(path, known[path])
        elif path in text:
            text = re.sub(rf"{re.escape(path)}(?:{PART}[/\\])*", "", text)
    return text


def home() -> dict[str, str]:
    """What ``without_known`` makes of the home of whoever runs this."""
    return {f"{own}/": "~/" for own in (Path.home(), Path.home().resolve()) if len(own.parts) > 1}


def known_paths(value: Any) -> dict[str, str]:
    """What ``without_known`` makes of the paths among a recipe's values, and of the folders above them.

    They are found as they are, and as YAML and JSON write them between quotes.
    """
    found: dict[str, str] = {}
    for path in _paths(value):
        above = [str(own) for own in PurePosixPath(path).parents if len(own.parts) > 2]
        found |= {path: _name(path)} | {f"{own}/": "" for own in above} | dict.fromkeys(above, ".")
    for path, name in list(found.items()):
        for written in (path.replace("'", "''"), json.dumps(path)[1:-1], json.dumps(path, ensure_ascii=False)[1:-1]):
            found.setdefault(written, name)
    return found


def _paths(value: Any, option: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _paths(item, _inner(option, name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item, option)
    elif isinstance(value, str) and _is_path(value, option):
        yield value


def _inner(option: str, name: str) -> str:
    """What a value of a mapping is called: by its own name, or by that of the mapping where this names files."""
    return option if option in FILES else name


def _is_path(text: str, option: str) -> bool:
    if not is_absolute(text) or "\n" in text:
        return False
    return option in FILES or HOME.match(text) is not None or os.path.exists(text)  # which minds no length


def is_absolute(text: str) -> bool:
    """Whether a text is a path from the root or from somebody's home."""
    return re.match(r"(?:/|~/|file:///|[A-Za-z]:[/\\]).", text) is not None


def _name(path: str) -> str:
    return "~" if HOME.fullmatch(path) else re.split(r"[/\\]", path.rstrip("/\\"))[-1]
