"""The questions of MMLU (arXiv 2009.03300) and of its translations MMMLU, from the hub or from local files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from langxfer.builtin.evaluators.files import Row, hub_rows, rows
from langxfer.builtin.evaluators.mmmlu.prompts import LETTERS
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES

HUB, REVISION = "openai/MMMLU", "325a01dc3e173cac1578df94120499aaca2e2504"
ENGLISH_HUB, ENGLISH_REVISION = "cais/mmlu", "c30699e8356da336a370243923dbaf21066bb9fe"
PINNED = {HUB: REVISION, ENGLISH_HUB: ENGLISH_REVISION}
SUFFIXES = (".csv", ".jsonl")  # of the files in a folder; a file that is named itself may be of any kind


@dataclass(frozen=True)
class Item:
    """A question in one language.

    Attributes:
        id: ``SUBJECT/ROW``, rows of each subject counted from 0; the same in all languages, which are parallel.
        gold: the right letter.
    """

    id: str
    subject: str
    question: str
    options: tuple[str, ...]
    gold: str


def from_hub(name: str, revision: str | None, tag: str, option: str) -> list[Item]:
    """The test questions of a language, in the order of the data set.

    Raises:
        DataError: they cannot be loaded, or a row is not what it should be.
    """
    subset = "all" if tag == "en" else LANGUAGES[tag].mmmlu
    assert subset is not None, "checked with the options"
    return _numbered([(row, "") for row in hub_rows(name, subset, "test", revision, option)])


def from_files(path: Path, tag: str, option: str) -> list[Item]:
    """The same, from local CSV or JSONL.

    Raises:
        DataError: as ``from_hub``.
    """
    found: list[tuple[Row, str]] = []
    for file in files_of(path, tag, option):
        subject = file.stem.removesuffix("_test") if file.stem.endswith("_test") else ""
        found += [(row, subject) for row in rows(file, option)]
    if not found:
        raise DataError(f"{option} {path}: no question in {tag}.")
    return _numbered(found)


def files_of(path: Path, tag: str, option: str) -> list[Path]:
    """The files that hold a language: ``path`` itself, or in a folder one named after MMMLU's code or the tag.

    English may be one file a subject, as it was published: ``SUBJECT_test.csv``, in the folder or in ``test``.

    Raises:
        DataError: there are none.
    """
    if path.is_file():
        return [path]
    code = LANGUAGES[tag].mmmlu
    stems = [tag, "mmlu"] if code is None else [code, f"mmlu_{code.replace('_', '-')}", tag]
    found = [path / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES]
    if named := [file for file in found if file.is_file()]:
        return named[:1]
    subjects = sorted(path.glob("*_test.csv")) or sorted((path / "test").glob("*_test.csv")) if tag == "en" else []
    if not subjects:
        expected = ", ".join(file.name for file in found) + (", SUBJECT_test.csv" if tag == "en" else "")
        raise DataError(f"{option} {path}: no file for {tag}. Expected one of {expected}.")
    return subjects


def files_in(path: Path) -> list[Path]:
    """All files that may hold questions of any language: ``path`` itself, or those in and below a folder."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())


def _numbered(found: list[tuple[Row, str]]) -> list[Item]:
    counts: Counter[str] = Counter()
    items: list[Item] = []
    for row, subject in found:
        name = subject or row.words("Subject" if "Subject" in row.values else "subject")
        items.append(Item(f"{name}/{counts[name]}", name, *_content(row)))
        counts[name] += 1
    return items


def _content(row: Row) -> tuple[str, tuple[str, ...], str]:
    values = row.values
    if "Question" in values:  # openai/MMMLU
        question, options, gold = row.words("Question"), [values.get(letter, "") for letter in LETTERS], "Answer"
    else:  # cais/mmlu, and its tables with one column a choice
        choices = values.get("choices")
        options = choices if isinstance(choices, list) else [values.get(f"choice{i}", "") for i in range(4)]
        question, gold = row.words("question"), "answer"
    # Readers of CSV take the word None for a missing cell; as an option it is a word.
    texts = tuple("None" if option is None else str(option) for option in options)
    if len(texts) != 4 or not all(text.strip() for text in texts):
        raise DataError(f"{row.where}: expected four options (A to D, choices or choice0 to choice3), found {texts}.")
    return question, texts, _letter(row, gold)


def _letter(row: Row, column: str) -> str:
    value = str(row.values.get(column)).strip()
    if value in LETTERS:
        return value
    if value in ("0", "1", "2", "3"):
        return LETTERS[int(value)]
    raise DataError(f"{row.where}: {column} is {value}; expected A to D, or 0 to 3.")
