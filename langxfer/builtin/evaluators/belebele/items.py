"""The questions of BELEBELE (arXiv 2308.16884), from the hub or from local files, in the hub's columns or regrouped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from langxfer.builtin.evaluators.files import Row, hub_rows, local, rows
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES

HUB = "facebook/belebele"
PINNED = {HUB: "75b399394a9803252cfec289d103de462763db7c"}
OPTION = "belebele.source"


@dataclass(frozen=True)
class Item:
    """A question in one language.

    Attributes:
        id: ``LINK#NUMBER``, the same in all languages.
        gold: index of the right answer.
    """

    id: str
    passage: str
    question: str
    answers: tuple[str, ...]
    gold: int


def read_items(source: str, revision: str | None, tag: str) -> list[Item]:
    """All questions in a language, in the order of the source.

    Raises:
        DataError: the source lacks the language, or a row is not what it should be.
    """
    code = LANGUAGES[tag].nllb
    assert code is not None, "checked with the options"
    path = local(source, OPTION)
    if path is None:
        found = hub_rows(source, code, "test", revision, OPTION)
    else:
        found = [row for row in rows(file_of(path, tag), OPTION) if _in_language(row, code)]
    items = [item for row in found for item in _items(row)]
    if not items:
        raise DataError(f"{OPTION} {source}: no question in {tag} ({code}).")
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise DataError(f"{OPTION} {source}: {item.id} occurs twice in {tag}. Give one file a language.")
        seen.add(item.id)
    return items


def file_of(path: Path, tag: str) -> Path:
    """The file that holds a language: ``path`` itself, or in a folder the one named after FLORES code or tag.

    Raises:
        DataError: there is none, or more than one.
    """
    if path.is_file():
        return path
    code = LANGUAGES[tag].nllb
    found = sorted(file for name in (code, tag) for file in path.glob(f"{name}.*") if file.suffix == ".jsonl")
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(f"{OPTION} {path}: expected one file {code}.jsonl or {code}.ANYTHING.jsonl, found {names}.")
    return found[0]


def _in_language(row: Row, code: str) -> bool:
    """A row that names its language must name this one; one that does not is taken."""
    metadata = row.values.get("metadata")
    extra = metadata.get("extra") if isinstance(metadata, dict) else None
    named = row.values.get("dialect") or (extra.get("language") if isinstance(extra, dict) else None)
    return named is None or named == code


def _items(row: Row) -> Iterator[Item]:
    if "flores_passage" in row.values:
        yield _hub_item(row)
    elif "items" in row.values:
        yield from _regrouped(row)
    else:
        raise DataError(
            f"{row.where}: expected the hub's columns (flores_passage, question, mc_answer1, …) or text and items, "
            f"found {', '.join(map(str, row.values))}."
        )


def _hub_item(row: Row) -> Item:
    number, right = (str(row.values.get(name)) for name in ("question_number", "correct_answer_num"))
    if right not in ("1", "2", "3", "4") or not number.isdecimal():
        raise DataError(
            f"{row.where}: correct_answer_num is {right} and question_number {number}; expected 1 to 4 and a number."
        )
    answers = tuple(row.words(f"mc_answer{i}") for i in range(1, 5))
    passage, question = row.words("flores_passage"), row.words("question")
    return Item(f"{row.words('link')}#{number}", passage, question, answers, int(right) - 1)


def _regrouped(row: Row) -> Iterator[Item]:
    """One passage with its questions; the link is that of its source, or its row where none is given."""
    try:
        link = row.values["metadata"]["extra"]["url"]
        for number, item in enumerate(row.values["items"], 1):
            question = Row(f"{row.where}: question {number}", item).words("question")
            answers = tuple(Row(row.where, answer).words("text") for answer in item["answers"])
            right = [index for index, answer in enumerate(item["answers"]) if answer["correct"]]
            if len(answers) != 4 or len(right) != 1:
                raise DataError(
                    f"{row.where}: question {number} has {len(answers)} answers, {len(right)} of them right."
                )
            yield Item(f"{link}#{number}", row.words("text"), question, answers, right[0])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{row.where}: {error} is missing or wrong. Expected text, metadata.extra.url, and items with question "
            "and answers of text and correct."
        ) from None
