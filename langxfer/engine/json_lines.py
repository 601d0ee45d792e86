"""JSON lines of which some strings are replaced and every other byte stays as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.decoder import scanstring
from typing import IO

from langxfer.engine.pieces import Piece, decoded, passing
from langxfer.errors import DataError


@dataclass(frozen=True)
class _Span:
    """A string in a line of JSON: its path, where it stands (quotes included), and the text that it spells."""

    path: str
    start: int
    end: int
    text: str


USUAL_FIELDS = ("instruction", "input", "output")


def read_jsonl(file: IO[bytes], name: str, fields: Sequence[str] = ()) -> Iterator[Piece]:
    """A piece a line.

    Args:
        file: open for reading bytes.
        name: of the file, for messages.
        fields: names or paths such as ``messages[].content``; none: the usual ones, as far as they are there.

    Raises:
        DataError: a line is not an object, a field holds something else than text, or no object has it.
    """
    met: dict[str, int] = dict.fromkeys(fields or USUAL_FIELDS, 0)
    seen: dict[str, None] = {}
    objects = 0
    for number, raw in enumerate(file, 1):
        where = f"{name}:{number}"
        line = decoded(raw, name, number)
        if not line.strip("\ufeff \t\r\n"):
            yield passing(where, raw)
            continue
        finder = _Finder(line, where, frozenset(met))
        spans = finder.spans()
        objects += 1
        seen.update(dict.fromkeys(finder.keys))
        for path in finder.met:
            met[path] += 1
        texts = tuple((span.path, span.text) for span in spans if span.text.strip())
        yield Piece(where, texts, lambda texts, line=line, spans=spans: _replaced(line, spans, texts))
    absent = [path for path, count in met.items() if not count]
    if objects and absent and (fields or len(absent) == len(met)):
        raise DataError(
            f"{name}: no object has a text under {', '.join(absent)}. Fields in there: {', '.join(seen) or 'none'}. "
            "Name those to be translated with --fields."
        )


def _replaced(line: str, spans: Sequence[_Span], texts: Sequence[str]) -> bytes:
    """The line with other strings at the spans that are not blank; one that stays the same keeps its spelling."""
    parts, end, remaining = [], 0, iter(texts)
    for span in spans:
        if not span.text.strip():
            continue
        text = next(remaining)
        parts.append(line[end : span.start])
        parts.append(line[span.start : span.end] if text == span.text else _json_string(text))
        end = span.end
    return "".join([*parts, line[end:]]).encode("utf-8")


def _json_string(text: str) -> str:
    lone = any("\ud800" <= character <= "\udfff" for character in text)
    return json.dumps(text, ensure_ascii=lone)


class _Finder:
    """Finds the strings under some paths in one line of JSON, without changing anything else in it.

    Attributes:
        keys: names in the outermost object.
        met: the paths that led to a string.
    """

    # Numbers are never computed: some have more digits than Python converts.
    _DECODER = json.JSONDecoder(parse_int=lambda text: None, parse_float=lambda text: None)

    def __init__(self, line: str, where: str, wanted: frozenset[str]):
        self._line, self._where, self._wanted = line, where, wanted
        self._found: list[_Span] = []
        self.keys: list[str] = []
        self.met: set[str] = set()

    def spans(self) -> list[_Span]:
        """The strings in the order in which they stand.

        Raises:
            DataError: the line is not one JSON object, or something else than text stands under a path.
        """
        try:
            start = self._blank(1 if self._line.startswith("\ufeff") else 0)
            if self._line[start] != "{":
                raise DataError(f"{self._where} holds {self._line.strip()[:60]!r}, expected one JSON object a line.")
            end = self._blank(self._value(start, ""))
        except RecursionError:
            raise DataError(f"{self._where} is nested too deeply.") from None
        except (ValueError, IndexError) as error:
            reason = getattr(error, "msg", "it ends too early")
            raise DataError(f"{self._where} is not JSON ({reason}). Expected one object a line.") from None
        if end != len(self._line):
            raise DataError(f"{self._where} is not JSON (Extra data). Expected one object a line.")
        return self._found

    def _value(self, start: int, path: str) -> int:
        """The end of the value that starts there; strings under wanted paths are noted on the way."""
        if path in self._wanted:
            return self._text(start, path)
        inside = not path or any(wanted.startswith((f"{path}.", f"{path}[")) for wanted in self._wanted)
        if inside and self._line[start] == "{":
            return self._object(start, path)
        if inside and self._line[start] == "[":
            return self._list(start, path)
        return self._DECODER.raw_decode(self._line, start)[1]

    def _text(self, start: int, path: str) -> int:
        if self._line[start] == '"':
            text, end = scanstring(self._line, start + 1)
            self._found.append(_Span(path, start, end, text))
            self.met.add(path)
            return end
        end = self._DECODER.raw_decode(self._line, start)[1]
        spelled = self._line[start:end]
        if spelled != "null":
            raise DataError(f"{self._where}: field {path} holds {spelled[:60]}, expected text or null. See --fields.")
        return end

    def _object(self, start: int, path: str) -> int:
        position = self._blank(start + 1)
        if self._line[position] == "}":
            return position + 1
        while True:
            self._expect(position, '"', "Expecting property name enclosed in double quotes")
            key, position = scanstring(self._line, position + 1)
            if not path:
                self.keys.append(key)
            position = self._blank(position)
            self._expect(position, ":", "Expecting ':' delimiter")
            position = self._value(self._blank(position + 1), f"{path}.{key}" if path else key)
            position = self._blank(position)
            if self._line[position] == "}":
                return position + 1
            self._expect(position, ",", "Expecting ',' delimiter")
            position = self._blank(position + 1)

    def _list(self, start: int, path: str) -> int:
        position = self._blank(start + 1)
        if self._line[position] == "]":
            return position + 1
        while True:
            position = self._blank(self._value(position, f"{path}[]"))
            if self._line[position] == "]":
                return position + 1
            self._expect(position, ",", "Expecting ',' delimiter")
            position = self._blank(position + 1)

    def _blank(self, position: int) -> int:
        while self._line[position : position + 1] in (" ", "\t", "\r", "\n") and position < len(self._line):
            position += 1
        return position

    def _expect(self, position: int, character: str, message: str) -> None:
        if self._line[position] != character:
            raise json.JSONDecodeError(message, self._line, position)
