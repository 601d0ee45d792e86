"""Texts with reference translations: line-aligned files, or a translation memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from langxfer.builtin.evaluators.files import lines
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES
from langxfer.translation import read_units

FILES, MEMORY = "translation_quality.files", "translation_quality.memory"


@dataclass(frozen=True)
class Item:
    """A text and its reference translation; ``number`` is its line, or its place in the memory, from 1 on."""

    number: int
    source: str
    reference: str


def aligned_items(files: Mapping[str, str], source: str, target: str, limit: int | None) -> list[Item]:
    """The items of two line-aligned files; lines that are blank in either are left out.

    Raises:
        DataError: a file cannot be read, the two differ in lines, or no line has both texts.
    """
    texts = [lines(files[tag], FILES) for tag in (source, target)]
    if len(texts[0]) != len(texts[1]):
        raise DataError(
            f"{FILES}: {files[source]} has {len(texts[0])} lines and {files[target]} has {len(texts[1])}. Expected the "
            "same number: line n of one is the translation of line n of the other."
        )
    return _items(zip(*texts, strict=True), limit, f"{files[source]} and {files[target]}", source, target)


def memory_items(memory: str, source: str, target: str, limit: int | None) -> list[Item]:
    """The items of a memory that have a text in both languages.

    Raises:
        DataError: it cannot be read, or no unit has both texts.
    """
    if not Path(memory).is_file():
        raise DataError(f"{MEMORY}: {memory} does not exist. Expected a TMX, TSV or JSON lines file.")
    units = ({tag: text for tag, text in reversed(unit)} for unit in read_units(Path(memory)))
    return _items(((unit.get(source, ""), unit.get(target, "")) for unit in units), limit, memory, source, target)


def _items(pairs: Iterator[Sequence[str]], limit: int | None, where: str, source: str, target: str) -> list[Item]:
    numbered = (Item(number, *(text.strip() for text in pair)) for number, pair in enumerate(pairs, 1))
    items = list(islice((item for item in numbered if item.source and item.reference), limit))
    if not items:
        names = f"{LANGUAGES[source].name} and {LANGUAGES[target].name}"
        raise DataError(f"translation_quality: no text in both {names} in {where}.")
    return items
