"""TMX files whose units get a segment in another language, and keep everything else."""

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
    body: ElementTree.Element | None = None
    found: dict[str, None] = {}
    number = sources = 0
    for event, element in events:
        if event == "start" and _tag(element) == "body":
            body = element
            yield passing(name, _head(root, body))
        elif event == "end" and _tag(element) == "tu" and body is not None:
            number += 1
            piece = _unit(element, f"{name}: unit {number}", pair)
            sources += bool(piece.texts)
            found.update(dict.fromkeys(tag for tag, _ in _variants(element)))
            yield piece
            body.clear()
    if body is None:
        raise DataError(f"{name}: it has no <body>, where the units of a TMX file stand.")
    if number and not sources:
        raise DataError(
            f"{name}: no unit has a text in {pair.source}. Languages in there: {', '.join(found) or 'none'}."
        )
    yield passing(name, f"</{body.tag}></{root.tag}>\n".encode())


def _head(root: ElementTree.Element, body: ElementTree.Element) -> bytes:
    """Everything before the first unit."""
    shell = ElementTree.Element(root.tag, root.attrib)
    shell.text = root.text
    shell.extend(child for child in root if child is not body)
    text = ElementTree.tostring(shell, encoding="unicode", short_empty_elements=False)
    opening = ElementTree.tostring(ElementTree.Element(body.tag, body.attrib), encoding="unicode")
    head = text.removesuffix(f"</{root.tag}>") + opening.removesuffix(" />") + ">\n"
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + head).encode()


def _unit(unit: ElementTree.Element, where: str, pair: Pair) -> Piece:
    variants = _variants(unit)
    source = next((variant for tag, variant in variants if tag == base_tag(pair.source)), None)
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
    """One variant in the target language, or none where ``text`` is empty."""
    targets = [variant for tag, variant in _variants(unit) if tag == base_tag(pair.target)]
    for variant in targets[0 if not text else 1 :]:
        unit.remove(variant)
    if not text:
        return
    variant = targets[0] if targets else _added(unit, pair.target)
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


def _variants(unit: ElementTree.Element) -> list[tuple[str, ElementTree.Element]]:
    tagged = [(child.get(LANG) or child.get("lang"), child) for child in unit if _tag(child) == "tuv"]
    return [(base_tag(tag), variant) for tag, variant in tagged if tag]


def _segment(variant: ElementTree.Element) -> ElementTree.Element | None:
    return next((child for child in variant if _tag(child) == "seg"), None)


def _written(unit: ElementTree.Element) -> bytes:
    unit.tail = "\n"
    return ElementTree.tostring(unit, encoding="unicode").encode("utf-8", "replace")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
