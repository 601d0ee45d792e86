"""The data that flows: turns, parallel examples, views; and how they are stored as records.

No torch here: the recipe language and the command line read this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from langxfer.errors import ArtifactError


class Side(StrEnum):
    """One of the two languages of an example."""

    SOURCE = "source"
    TARGET = "target"


class _Sides(StrEnum):
    """What views share: the first letter is the prompt's side, the second the response's."""

    @property
    def prompt(self) -> Side:
        return Side.SOURCE if self.value[0] == "S" else Side.TARGET

    @property
    def response(self) -> Side:
        return Side.SOURCE if self.value[1] == "S" else Side.TARGET


class View(_Sides):
    """Prompt language × response language of an example.

    ``SS`` and ``TT`` answer in the language of the prompt, ``ST`` and ``TS`` in the other one.
    The first letter is the prompt's side, the second the response's.
    """

    SS = "SS"
    ST = "ST"
    TS = "TS"
    TT = "TT"


class MismatchedView(_Sides):
    """The prompt of an example with the response of the NEXT one, by their languages.

    Next is the next example of the same language pair in the order of the data; after the last comes the
    first. Such pairs estimate statistics of a batch (KTO's KL). They are neither chosen nor rejected.
    """

    SS = "SS+1"
    ST = "ST+1"
    TS = "TS+1"
    TT = "TT+1"


AnyView = View | MismatchedView


@dataclass(frozen=True)
class Turn:
    """One question and its answer in one language (``language`` is a BCP-47 tag)."""

    prompt: str
    response: str
    language: str


@dataclass(frozen=True)
class ParallelExample:
    """The same turn in the source and in the target language.

    ``provenance`` says where the target side comes from: ``parallel`` or a translator's name.
    """

    id: str
    source: Turn
    target: Turn
    provenance: str = "parallel"

    def turn(self, side: Side) -> Turn:
        return self.source if side is Side.SOURCE else self.target


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object a line, UTF-8; returns the number of rows."""
    count = 0
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            write_line(file, row)
            count += 1
    return count


def write_line(file: TextIO, row: dict[str, Any]) -> None:
    """Write one row as a line of JSON, as ``write_jsonl`` does."""
    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def drop_partial_line(path: Path) -> None:
    """Cut off a last line without an end, which a process left that was killed while it appended to the file."""
    if not path.is_file():
        return
    with open(path, "rb+") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Read what ``write_jsonl`` wrote.

    Raises:
        ArtifactError: a line is not JSON (the file was cut or edited).
    """
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ArtifactError(
                    f"{path}:{number} is not JSON ({error.msg}). Delete the file's folder and run again."
                ) from None


def read_examples(path: Path) -> list[ParallelExample]:
    """Read parallel examples stored as JSON lines (``asdict`` of each), in their order."""
    return [
        ParallelExample(row["id"], Turn(**row["source"]), Turn(**row["target"]), row["provenance"])
        for row in read_jsonl(path)
    ]
