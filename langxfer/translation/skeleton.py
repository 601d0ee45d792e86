"""A document taken apart: sentences for the translator, and all else byte for byte as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from langxfer.errors import PluginError
from langxfer.languages import language as language_of
from langxfer.translation.code_lines import is_code
from langxfer.translation.sentences import has_letter, split_sentences
from langxfer.translation.verbatim import HIDDEN, hide_verbatim

# What may stand before the text of a line: quote marks, bullets, one list marker or heading, a check box.
_PREFIX = re.compile(
    r"""[ \t\u3000]* (?: > [ \t]* )*
    (?: (?: [-*+•◦‣▪●○·–—] | \#{1,6} ) [ \t]+ )*
    (?: (?: \(? (?: \d{1,3}(?:\.\d{1,3})* | [A-Za-z] | [ivxlIVXL]{2,5} ) [.)] (?=[ \t]) (?![ \t]+[A-Z]\.)
          | \d{1,3}、 | [（(]\d{1,3}[)）] | [\u2460-\u2473] ) [ \t]* )?
    (?: \[[ xX]\] [ \t]+ )?
    """,
    re.VERBOSE,
)
_MARKER = re.compile(r"[ \t>]*(?:[-*+•◦‣▪●○·–—]|\(?(?:\d{1,3}|[A-Za-z])[.)])[ \t]")
_HEADING_END = re.compile(r"[ \t]+#+[ \t]*$")
_LABEL = re.compile(r"(\*\*\*|\*\*|__)(?=\S)(?P<label>[^*_\0|]+?)(?::?\1:|[:.]\1|\1(?=\s*$))(?!\S)")
_RULE = re.compile(
    r"[ \t>]*\|?(?:[ \t]*:?-{2,}:?[ \t]*\|)+(?:[ \t]*:?-{2,}:?[ \t]*)?$|[ \t>]*\|[ \t]*:?-+:?[ \t]*\|?[ \t]*$"
)
_ROW = re.compile(r"[ \t>]*\|.*\|[ \t]*$")
_CELL = re.compile(r"(?:[^|\0\\]|\\.)+|\\")
_RUN = re.compile("[^\0]+")
_CODE_INDENT = 4  # columns, also those of a tab
# An indented paragraph reads like a sentence: a capital letter, and somewhere four words in small letters; or it begins
# in a script without capitals.
_PROSE = re.compile(
    r"\s*(?:[\u0590-\u1fff\u2e80-\ud7ff]|[^\W\d_a-z].*(?<=[\w:,)\"'’”])(?: (?:[^\W\d_A-Z][^\W\d_A-Z'’-]+|a)){4})"
)
# Beside something verbatim, punctuation belongs to the gap: it says nothing to a translator.
_LOOSE_START = re.compile(r"[\s.,;:!?)\]}…、。，；：！？）】」』》]+")
_LOOSE_END = re.compile(r"(?:\s|!?\[|[({<（【「『《])+$")
_ENDS_APART = re.compile(r"[\w`$\]]$|\)$|</\w+>$|\\[\])]$")
_STARTS_APART = re.compile(r"[\w`$\\\[]|<[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Segments to translate, and the gaps before, between and after them.

    Attributes:
        segments: sentences, or what is left of them around something verbatim; each has a letter, and no white space
            at its ends. None at all: the document is the same in every language.
        gaps: one more than segments; gap, segment, gap, ... is the document.
        language: BCP-47 tag of the document.
    """

    segments: tuple[str, ...]
    gaps: tuple[str, ...]
    language: str

    @classmethod
    def of_pieces(cls, pieces: Sequence[str], language: str) -> Skeleton:
        """A skeleton of pieces that are segments but for the white space at their ends, as ``split_further`` makes."""
        text = "".join(pieces)
        spans, start = [], 0
        for piece in pieces:
            end = start + len(piece)
            spans.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
            start = end
        return cls._of_spans(text, [span for span in spans if has_letter(text[span[0] : span[1]])], language)

    @classmethod
    def _of_spans(cls, text: str, spans: Sequence[tuple[int, int]], language: str) -> Skeleton:
        starts = [*(start for start, _ in spans), len(text)]
        ends = [0, *(end for _, end in spans)]
        gaps = tuple(text[end:start] for end, start in zip(ends, starts, strict=True))
        return cls(tuple(text[start:end] for start, end in spans), gaps, language)

    def rebuild(self, translations: Sequence[str], target: str) -> str:
        """The document with a translation in the place of each segment.

        White space at the ends of a translation is dropped, and a line break inside it becomes a space. Into a
        language without spaces between sentences the space between two of them goes, and out of one it comes; all
        other gaps stay as they are. In the document's own language no gap changes.

        Args:
            translations: as many as there are segments, in their order.
            target: BCP-47 tag.

        Raises:
            PluginError: more or fewer translations than segments.
        """
        if len(translations) != len(self.segments):
            raise PluginError(
                f"{len(translations)} translations for a document of {len(self.segments)} segments. "
                "There must be one for each segment, in order."
            )
        words = [" ".join(translation.strip().splitlines()) for translation in translations]
        gaps = self._gaps_in(target)
        return "".join(chain.from_iterable(zip_longest(gaps, words, fillvalue="")))

    def _gaps_in(self, target: str) -> tuple[str, ...]:
        space, own_space = language_of(target).sentence_space, language_of(self.language).sentence_space
        if space == own_space:
            return self.gaps
        first, *inner = self.gaps
        if not space:
            return (first, *("" if gap.isspace() and _one_line(gap) else gap for gap in inner[:-1]), *inner[-1:])
        return tuple(self._spaced(gap, number) for number, gap in enumerate(self.gaps))

    def _spaced(self, gap: str, number: int) -> str:
        """A gap of a text without spaces, with those that its neighbours need in a language with spaces."""
        inner = 0 < number < len(self.segments)
        if not gap:
            return " " if inner else ""
        before = " " if number > 0 and _STARTS_APART.match(gap) else ""
        after = " " if number < len(self.segments) and _ENDS_APART.search(gap) else ""
        return before + gap + after


def take_apart(text: str, language: str) -> Skeleton:
    """The skeleton of a document; rebuilt with its own segments in its own language it is the very document.

    Args:
        text: anything, Markdown or not, with any line breaks.
        language: BCP-47 tag of its prose.

    Raises:
        RecipeError: the language is unknown.
    """
    language_of(language)
    hidden = hide_verbatim(text)
    spans = [span for run in _runs(hidden) for span in _sentences(hidden, *run, language)]
    return Skeleton._of_spans(text, spans, language)


def _sentences(hidden: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    for sentence in split_sentences(hidden[start:end], language):
        end = start + len(sentence)
        if has_letter(sentence):
            yield start + len(sentence) - len(sentence.lstrip()), start + len(sentence.rstrip())
        start = end


def _one_line(gap: str) -> bool:
    return len(gap.splitlines()) == 1 and gap.splitlines()[0] == gap


def _runs(hidden: str) -> Iterator[tuple[int, int]]:
    """Stretches of prose without a line break, a marker or anything verbatim inside."""
    offset = 0
    for line, kind in _kinds(hidden.split("\n")):
        if kind != "code":
            for start, end in _line_runs(line, _CELL if kind == "row" else _RUN):
                start, end = _trimmed(line, start, end)
                if has_letter(line[start:end]):
                    yield offset + start, offset + end
        offset += len(line) + 1


def _kinds(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each line with what it is: code (indented, or plain to see), row (of a table) or text."""
    kind, after_blank, in_table = "text", True, False
    margin = 0  # columns that the text of the list item above is indented by
    for line, next_line in zip(lines, [*lines[1:], ""], strict=True):
        if not line.strip():
            after_blank, in_table = True, False
            yield line, kind
            continue
        indent = _indent(line)
        if after_blank:
            margin = min(margin, indent)
        marker = _MARKER.match(line)
        starts_code = after_blank and not _PROSE.match(line) and not (marker and margin)
        if is_code(line) or (indent >= margin + _CODE_INDENT and (kind == "code" or starts_code)):
            kind = "code"
        else:
            margin = _width(marker[0]) if marker else margin
            in_table = "|" in line and bool(in_table or _RULE.match(next_line) or _ROW.match(line))
            kind = "row" if in_table else "text"
        after_blank = False
        yield line, kind


def _indent(line: str) -> int:
    """Columns before the text of a line."""
    return _width(line[: len(line) - len(line.lstrip(" \t"))]) if line[0] in " \t" else 0


def _width(text: str) -> int:
    return len(text.expandtabs(_CODE_INDENT))


def _line_runs(line: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    prefix = _PREFIX.match(line)
    start = prefix.end() if prefix else 0
    end = len(line)
    if "#" in line[:start] and (closing := _HEADING_END.search(line, start)):
        end = closing.start()
    if label := _LABEL.match(line, start, end):
        yield label.span("label")
        start = label.end()
    for run in pattern.finditer(line, start, end):
        yield run.span()


def _trimmed(line: str, start: int, end: int) -> tuple[int, int]:
    run = line[start:end]
    if line[start - 1 : start] == HIDDEN and (loose := _LOOSE_START.match(run)):
        start += loose.end()
    if line[end : end + 1] == HIDDEN and (loose := _LOOSE_END.search(line[start:end])):
        end = start + loose.start()
    return start, end
