"""Numbers that others have published, read from a file, to be shown beside one's own. They are never tested."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from langxfer.components import Score
from langxfer.errors import DataError
from langxfer.recipe_text import RecipeText, Unreadable, found, shown

EXPECTED = "numbers with score, model, method, value, source, and notes with text"
# pydantic's name of an error -> what was expected
WANTED = {
    "string_type": "text",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "model_type": "a mapping",
}


class PublishedNumber(BaseModel):
    """A number of a paper.

    Attributes:
        score: the name that the same score has here: ``belebele/sw``.
        model: as recipes call it in ``model.source``.
        method: as the paper calls it.
        source: where it is printed.
        language: to which the model was adapted, where scores of other languages depend on it too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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

    def languages_of(self, models: Sequence[str]) -> list[str]:
        """The languages to which models were adapted in the numbers of these ones."""
        return list(dict.fromkeys(own.language for own in self.numbers if own.model in models and own.language))

    def notes_on(self, numbers: Sequence[PublishedNumber]) -> list[str]:
        """The notes that concern any of the numbers."""
        return [note.text for note in self.notes if any(note.concerns(number) for number in numbers)]


def read_published(path: Path) -> Published:
    """Read ``numbers`` and ``notes`` from YAML, or numbers from CSV, whose columns are called as their keys.

    Raises:
        DataError: the file cannot be read, or holds something else; with the place.
    """
    text = _text(path)
    read = _csv(path, text) if path.suffix.lower() == ".csv" else _yaml(path, text)
    if not isinstance(read.values, dict) or not read.values:
        what = "empty" if not read.values else found(read.values)
        raise DataError(f"{path}  The file is {what}; expected {EXPECTED}.")
    problems = list(read.problems)
    try:
        numbers = _File.model_validate(read.values)
    except ValidationError as error:
        problems += [(read.place(item["loc"]), _said(item)) for item in error.errors()]
    else:
        problems += _repeated(read, numbers.numbers)
    if problems:
        raise DataError("\n".join(dict.fromkeys(f"{place}  {sentence}" for place, sentence in problems)))
    return Published(path, numbers.numbers, numbers.notes)


def _repeated(read: RecipeText, numbers: Sequence[PublishedNumber]) -> Iterator[tuple[str, str]]:
    """Numbers of one score by one method, of which a table could show one alone."""
    first: dict[PublishedNumber, int] = {}
    for at, number in enumerate(numbers):
        same = number.model_copy(update={"value": 0.0, "standard_error": None})
        if first.setdefault(same, at) != at:
            sentence = f"numbers[{at}] is of the same score and method as numbers[{first[same]}]. Keep one of them."
            yield read.place(("numbers", at)), sentence


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}). Save the file as UTF-8.") from None


def _yaml(path: Path, text: str) -> RecipeText:
    try:
        return RecipeText.read(str(path), text)
    except Unreadable as error:
        raise DataError(str(error)) from None


def _csv(path: Path, text: str) -> RecipeText:
    """As the same in YAML; an empty cell is as if it were not there."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    read = RecipeText(str(path))
    numbers: list[dict[str, Any]] = []
    try:
        for row in reader:
            place = f"{path}:{reader.line_num}"
            if row.pop(None, None):  # what the header has no name for
                read.problems.append((place, "The row has more cells than the header. Quote cells that hold commas."))
            read.places["numbers", len(numbers)] = place
            numbers.append({name: value for name, value in row.items() if value})
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num} is not a table that can be read ({error}).") from None
    read.values = {"numbers": numbers} if numbers else None
    return read


def _said(item: Any) -> str:
    """What pydantic found wrong, in words of the file."""
    where = shown(item["loc"])
    if item["type"] == "missing":
        return f"{where} is missing; expected {EXPECTED}."
    if item["type"] == "extra_forbidden":
        return f"{where} is not known here; expected {EXPECTED}."
    return f"{where} is {found(item['input'])}; expected {WANTED.get(item['type'], EXPECTED)}."
