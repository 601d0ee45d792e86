"""TMX files whose units get a segment in another language, and keep everything else.

A namespace of the file is declared on the root element again; the names of elements are written without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO
from xml.etree import ElementTree

from langxfer.components import Pair
from langxfer.engine.pieces import Piece, passing
from langxfer.errors import DataError
from langxfer.translation import base_tag

SEGMENT = "segment"  # what the texts of TMX files are called in reports
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def read_tmx(file: IO[bytes], name: str, pair: Pair) -> Iterator[Piece]:
    """A piece a unit, and one each for what stands before and after them; layout between units is not kept.

    Raises:
        DataError: it is not TMX, or no unit has a text in ``pair.source``.
    """
    try:
        yield from _tmx_pieces(ElementTree.iterparse(file, events=("start", "end")), name, pair)
    except ElementTree.ParseError as error:
        raise DataError(f"{name}:{error.position[0]} is not well-formed XML ({error.msg}).") from None
    except (ValueError, LookupError) as error:  # an encoding that the parser does not know
        raise DataError(f"{name}: cannot be read as XML ({error}). Save the file as UTF-8.") from None


def _tmx_pieces(events: Iterator[tuple[str, ElementTree.Element]], name: str, pair: Pair) -> Iterator[Piece]:
    _, root = next(events)
    if _tag(root) != "tmx":
        raise DataError(f"{name}: its root element is <{_tag(root)}>, expected <tmx>.")
    space = root.tag.removesuffix("tmx")
    body: ElementTree.Element | None = None
    found: dict[str, None] = {}
    number = sources = 0
    for event, element in events:
        if event == "start" and element.tag == f"{space}body":
            body = element
            yield passing(name, _head(root, body, space))
        elif event == "end" and element.tag == f"{space}tu" and body is not None:
            _without(space, element)
            number += 1
            piece = _unit(element, f"{name}: unit {number}", pair)
            sources += bool(piece.texts)
            found.update(dict.fromkeys(base_tag(tag) for tag, _ in _variants(element)))
            yield piece
            body.clear()
    if body is None:
        raise DataError(f"{name}: it has no <body>, where the units of a TMX file stand.")
    if number and not sources:
        raise DataError(
            f"{name}: no unit has a text in {pair.source}. Languages in there: {', '.join(found) or 'none'}."
        )
    yield passing(name, b"</body></tmx>\n")


def _head(root: ElementTree.Element, body: ElementTree.Element, space: str) -> bytes:
    """Everything before the first unit."""
    declared = {"xmlns": space[1:-1]} if space else {}
    shell = ElementTree.Element("tmx", {**declared, **root.attrib})
    shell.text = root.text
    shell.extend(child for child in root if child is not body)
    _without(space, shell)
    text = ElementTree.tostring(shell, encoding="unicode", short_empty_elements=False)
    opening = ElementTree.tostring(ElementTree.Element("body", body.attrib), encoding="unicode")
    head = text.removesuffix("</tmx>") + opening.removesuffix(" />") + ">\n"
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + head).encode()


def _without(space: str, element: ElementTree.Element) -> None:
    """Take a namespace off the names of an element and of all in it."""
    for own in element.iter() if space else ():
        own.tag = own.tag.removeprefix(space)


def _unit(unit: ElementTree.Element, where: str, pair: Pair) -> Piece:
    source = _variant(unit, pair.source)
    segment = None if source is None else _segment(source)
    text = "" if segment is None else "".join(segment.itertext())
    if not text.strip():
        content = _written(unit)
        return passing(where, content)

    def render(texts: Sequence[str]) -> bytes:
        _set_target(unit, pair, texts[0])
        return _written(unit)

    return Piece(where, ((SEGMENT, text),), render)


def _set_target(unit: ElementTree.Element, pair: Pair, text: str) -> None:
    """Give the variant in the target language another text, or remove it where ``text`` is empty.

    Others in that language, of other regions or by other people, stay.
    """
    variant = _variant(unit, pair.target)
    if not text:
        if variant is not None:
            unit.remove(variant)
        return
    if variant is None:
        variant = _added(unit, pair.target)
    segment = _segment(variant)
    if segment is None:
        segment = ElementTree.SubElement(variant, "seg")
    tail = segment.tail
    segment.clear()
    segment.text, segment.tail = text, tail


def _added(unit: ElementTree.Element, tag: str) -> ElementTree.Element:
    """A new variant at the end, indented as the one before it."""
    last = unit[-1]
    variant = ElementTree.SubElement(unit, last.tag, {LANG: tag})
    segment = _segment(last)
    inner = ElementTree.SubElement(variant, "seg" if segment is None else segment.tag)
    variant.text, inner.tail = last.text, "" if segment is None else segment.tail
    variant.tail, last.tail = last.tail, unit.text
    return variant


def _variant(unit: ElementTree.Element, language: str) -> ElementTree.Element | None:
    """The variant that has the very tag, else the first one in that language: of ``pt-BR`` and ``pt``, ``pt``."""
    own = [(tag, variant) for tag, variant in _variants(unit) if base_tag(tag) == base_tag(language)]
    exact = (variant for tag, variant in own if tag.strip().replace("_", "-").casefold() == language.casefold())
    return next(exact, own[0][1] if own else None)


def _variants(unit: ElementTree.Element) -> list[tuple[str, ElementTree.Element]]:
    """Variants with their tags, as they are in the file."""
    tagged = [(child.get(LANG) or child.get("lang"), child) for child in unit if _tag(child) == "tuv"]
    return [(tag, variant) for tag, variant in tagged if tag]


def _segment(variant: ElementTree.Element) -> ElementTree.Element | None:
    return next((child for child in variant if _tag(child) == "seg"), None)


def _written(unit: ElementTree.Element) -> bytes:
    unit.tail = "\n"
    return ElementTree.tostring(unit, encoding="unicode").encode("utf-8", "replace")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
