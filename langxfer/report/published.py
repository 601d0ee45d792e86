"""Numbers that others have published, read from a file, to be shown beside one's own. They are never tested."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from langxfer.components import Score
from langxfer.errors import DataError
from langxfer.recipe_text import RecipeText, Unreadable


class PublishedNumber(BaseModel):
    """A number of a paper.

    Attributes:
        score: the name that the same score has here: ``belebele/sw``.
        model: as recipes call it in ``model.source``.
        method: as the paper calls it.
        source: where it is printed.
        language: to which the model was adapted, where scores of other languages depend on it too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: str
    model: str
    method: str
    value: float
    standard_error: float | None = None
    unit: str = ""
    source: str
    language: str | None = None

    def as_score(self) -> Score:
        """With the source in place of a signature; of how many items is not known."""
        return Score(self.score, self.value, self.standard_error, 0, self.source, self.unit)


class PublishedNote(BaseModel):
    """What must be read beside the numbers of a score, a model, a method or a language; None stands for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    score: str | None = None
    model: str | None = None
    method: str | None = None
    language: str | None = None

    def concerns(self, number: PublishedNumber) -> bool:
        names = ("score", "model", "method", "language")
        return all(getattr(self, name) in (None, getattr(number, name)) for name in names)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    numbers: tuple[PublishedNumber, ...]
    notes: tuple[PublishedNote, ...] = ()


@dataclass(frozen=True)
class Published:
    """A file of published numbers."""

    path: Path
    numbers: tuple[PublishedNumber, ...]
    notes: tuple[PublishedNote, ...]

    def of(self, models: Sequence[str], languages: Sequence[str]) -> list[PublishedNumber]:
        """The numbers of these models, adapted to one of these languages where a number says to which."""
        found = (number for number in self.numbers if number.model in models)
        return [number for number in found if number.language is None or number.language in languages]

    def notes_on(self, numbers: Sequence[PublishedNumber]) -> list[str]:
        """The notes that concern any of the numbers."""
        return [note.text for note in self.notes if any(note.concerns(number) for number in numbers)]


def read_published(path: Path) -> Published:
    """Read ``numbers`` and ``notes`` from YAML, or numbers from CSV, whose columns are called as their keys.

    Raises:
        DataError: the file cannot be read, or holds something else; with the place.
    """
    read = _csv(path) if path.suffix.lower() == ".csv" else _yaml(path)
    try:
        found = _File.model_validate(read.values)
    except ValidationError as error:
        lines = (f"{read.place(item['loc'])}  {_said(item)}" for item in error.errors())
        raise DataError("\n".join(lines)) from None
    return Published(path, found.numbers, found.notes)


def _yaml(path: Path) -> RecipeText:
    try:
        return RecipeText.read(str(path), path.read_text(encoding="utf-8-sig"))
    except Unreadable as error:
        raise DataError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None


def _csv(path: Path) -> RecipeText:
    """As the same in YAML; an empty cell is as if it were not there."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            numbers, places = [], {}
            for place, row in enumerate(reader):
                numbers.append({str(name): value for name, value in row.items() if value})
                places["numbers", place] = f"{path}:{reader.line_num}"
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    return RecipeText(str(path), {"numbers": numbers}, places)


def _said(item: Any) -> str:
    where = ".".join(map(str, item["loc"])) or "the file"
    return f"{where}: {item['msg']}; expected numbers with score, model, method, value, source."
