"""Files whose texts are translated, and everything else in them kept: plain text, JSON lines, TMX.

A file is read as a stream of pieces. A piece holds the texts to be translated, none for what only passes through
(blank lines, the header of a TMX file), and knows how to write itself with other texts in their place.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

from langxfer.components import Pair
from langxfer.engine.json_lines import read_jsonl
from langxfer.engine.pieces import Piece, decoded, passing
from langxfer.engine.tmx import read_tmx
from langxfer.errors import DataError

Layout = Literal["text", "lines", "jsonl", "tmx"]
SUFFIXES: dict[str, Layout] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".tmx": "tmx"}

TEXT = "text"  # what the texts of plain files are called in reports


def layout_of(path: Path) -> Layout:
    """How a file is laid out, by its suffix; what is not known is plain text."""
    return SUFFIXES.get(path.suffix.lower(), "text")


def read_pieces(file: IO[bytes], name: str, layout: Layout, pair: Pair, fields: Sequence[str] = ()) -> Iterator[Piece]:
    """The pieces of a file; written one after the other with their own texts, they give the same content.

    - ``text``: the whole file is one text. ``lines``: every line that is not blank is one.
    - ``jsonl``: the texts under ``fields`` of each object; all other bytes of a line stay as they are. A path leads
      into objects and lists: ``en.output``, ``messages[].content``. A field may be absent or null in some objects.
    - ``tmx``: the segment in the source language of each unit. The translation takes the place of the unit's segment
      in the target language, or is added. Markup inside a segment is dropped, the text that it encloses is
      translated.

    Args:
        file: open for reading bytes.
        name: of the file, for messages.
        layout: as above.
        pair: languages; TMX alone looks at them.
        fields: names or paths, none for the usual ones; JSON lines alone look at them.

    Raises:
        DataError: the file is broken (with the line), or there is nothing in it of what was asked for.
    """
    readers: dict[Layout, Callable[[], Iterator[Piece]]] = {
        "text": lambda: _read_text(file, name),
        "lines": lambda: _read_lines(file, name),
        "jsonl": lambda: read_jsonl(file, name, fields),
        "tmx": lambda: read_tmx(file, name, pair),
    }
    try:
        yield from readers[layout]()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}.") from None


def _read_text(file: IO[bytes], name: str) -> Iterator[Piece]:
    content = file.read()
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    text = decoded(content[len(mark) :], name, 1)
    if not text.strip():
        yield passing(name, content)
        return
    yield Piece(name, ((TEXT, text),), lambda texts: mark + _encoded(texts[0]))


def _read_lines(file: IO[bytes], name: str) -> Iterator[Piece]:
    for number, raw in enumerate(file, 1):
        mark = codecs.BOM_UTF8 if number == 1 and raw.startswith(codecs.BOM_UTF8) else b""
        content = raw[len(mark) :].rstrip(b"\r\n")
        end = raw[len(mark) + len(content) :]
        text, where = decoded(content, name, number), f"{name}:{number}"
        if not text.strip():
            yield passing(where, raw)
            continue
        yield Piece(where, ((TEXT, text),), lambda texts, mark=mark, end=end: mark + _one_line(texts[0]) + end)


def _one_line(text: str) -> bytes:
    """A line stays one line, whatever became of it."""
    return _encoded(text.replace("\r\n", " ").replace("\n", " "))


def _encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate, which UTF-8 does not have, becomes a question mark."""
    return text.encode("utf-8", "replace")
