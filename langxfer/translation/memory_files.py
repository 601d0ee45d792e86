"""Translation memories: TMX, TSV and JSON lines, read as units of (language tag, text)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from langxfer.errors import DataError
from langxfer.languages import LANGUAGES

LANG = "{http://www.w3.org/XML/1998/namespace}lang"

Unit = tuple[tuple[str, str], ...]
"""The same text in several languages: pairs of a BCP-47 tag as ``base_tag`` gives it, and the text."""


def base_tag(tag: str) -> str:
    """The tag that recipes use for a tag in a file: ``en-US`` is ``en``; Chinese keeps its script.

    A region stands for its usual script, so ``zh-TW``, ``zh_HK`` and ``zh-Hant-TW`` are ``zh-Hant``.
    """
    parts = tag.strip().replace("_", "-").casefold().split("-")
    if parts[0] == "zh" and ("hant" in parts or ("hans" not in parts and {"tw", "hk", "mo"} & set(parts))):
        return "zh-Hant"
    return parts[0]


def read_units(path: Path) -> Iterator[Unit]:
    """The units of a memory, in their order; the suffix of its name says how it is laid out.

    - ``.tmx``: TMX 1.4; markup inside a segment is dropped, the text that it encloses is kept.
    - ``.tsv``: tab-separated, no quoting; the first line names the language tag of each column.
    - ``.jsonl``: one object a line, such as ``{"en": "Hello", "de": "Hallo"}``; keys that are no
      language tags, and values that are no text, are ignored (``id`` with a text is Indonesian).

    Raises:
        DataError: the file is missing or broken; the message names the line (for TMX also the unit).
    """
    try:
        yield from _READERS[path.suffix.lower()](path)
    except OSError as error:
        raise DataError(
            f"{path}: cannot read the translation memory ({error.strerror}). Check translator.files."
        ) from None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank, without their ends."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number} is not UTF-8 ({error.reason}). Save the file as UTF-8.") from None
            if line.strip():
                yield number, line


def _read_tsv(path: Path) -> Iterator[Unit]:
    tags: list[str] | None = None
    for number, line in _lines(path):
        cells = line.split("\t")
        if tags is None:
            tags = [base_tag(cell) for cell in cells]
            if len(tags) < 2 or not all(tag in LANGUAGES for tag in tags):
                raise DataError(
                    f"{path}:{number} does not name the languages of the columns: found {line[:80]!r}, expected "
                    "language tags with a tab between them, such as en<TAB>de. Put such a line first."
                )
        elif len(cells) != len(tags):
            raise DataError(f"{path}:{number} has {len(cells)} columns, expected {len(tags)} as in the first line.")
        else:
            yield tuple(zip(tags, cells, strict=True))


def _read_jsonl(path: Path) -> Iterator[Unit]:
    for number, line in _lines(path):
        try:
            row: Any = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number} is not JSON ({error}). Expected one object a line.") from None
        cells = row.items() if isinstance(row, dict) else ()
        texts = [(base_tag(key), text) for key, text in cells if isinstance(text, str)]
        unit = tuple((tag, text) for tag, text in texts if tag in LANGUAGES)
        if len(unit) < 2:
            raise DataError(
                f"{path}:{number} holds {line[:80]!r}, expected texts in two languages or more, such as "
                '{"en": "Hello", "de": "Hallo"}.'
            )
        yield unit


def _read_tmx(path: Path) -> Iterator[Unit]:
    """Streaming: a unit is forgotten when the next one comes. Nothing outside the file is ever read."""
    with open(path, "rb") as file:
        try:
            events = ElementTree.iterparse(file, events=("start", "end"))
            _, root = next(events)
            if _name(root) != "tmx":
                raise DataError(f"{path}: its root element is <{_name(root)}>, expected <tmx>.")
            units = (element for event, element in events if event == "end" and _name(element) == "tu")
            for number, element in enumerate(units, 1):
                yield tuple(_variants(path, number, element))
                for section in root:
                    if _name(section) == "body":
                        section.clear()
        except ElementTree.ParseError as error:
            raise DataError(f"{path}:{error.position[0]} is not well-formed XML ({error.msg}).") from None
        except (ValueError, LookupError) as error:  # an encoding that the parser does not know
            raise DataError(f"{path}: cannot be read as XML ({error}). Save the file as UTF-8.") from None


def _variants(path: Path, number: int, unit: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for variant in unit:
        if _name(variant) != "tuv":
            continue
        tag = variant.get(LANG) or variant.get("lang")
        segment = next((child for child in variant if _name(child) == "seg"), None)
        if not tag or segment is None:
            lacks = "xml:lang" if not tag else "<seg>"
            raise DataError(f"{path}: unit {number} (tuid {unit.get('tuid', 'absent')}) has a <tuv> without {lacks}.")
        yield base_tag(tag), "".join(segment.itertext())


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


_READERS: dict[str, Callable[[Path], Iterator[Unit]]] = {".tmx": _read_tmx, ".tsv": _read_tsv, ".jsonl": _read_jsonl}
SUFFIXES = tuple(sorted(_READERS))
