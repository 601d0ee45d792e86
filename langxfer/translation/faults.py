"""What a bad translation looks like from outside: cut off, running in circles, far too long or short.

Suspicion is relative to the source: one that repeats itself may have a translation that repeats itself.
"""

from __future__ import annotations

import zlib

from langxfer.components import Pair, Translation
from langxfer.languages import LANGUAGES

VERSION = 1  # raised when other translations begin to be accepted: accepted ones are in the cache

NONE = "missing"  # the translator has none
EMPTY, LOOPING, TOO_LONG, TOO_SHORT, TRUNCATED = "empty", "looping", "too long", "too short", "truncated"

# Three times or more in a row, from 3 characters on: RepetitionFilter of OpusFilter (Aulamo et al. 2020). That one
# stops at 100 characters; loops of whole sentences are longer. In Chinese and Japanese from 4 on, as in Bicleaner's
# hard rules: words are short there, and doubled. Runs below 12 characters are words in some languages (Yoruba
# "gbogbogbo"); in all others there are 8 characters that come again.
IN_A_ROW = 3
SHORTEST, SHORTEST_DENSE, LONGEST = 3, 4, 300
RUN, HEAD = 12, 8

# Text that deflates to less than 30 % is hardly text (card of LumiOpen's instruction-collection-fin). Counted per
# character and not per byte, since scripts of two and three bytes a character deflate better.
COMPRESSED = 0.3  # bytes a character
COMPRESSED_SHARE = 0.5  # of what the source deflates to; looser than the source's own rate in another language

# Characters that say what one Latin character says, roughly (medians of FLORES and NTREX translations).
DENSITY = {"Hans": 0.3, "Hant": 0.3, "Jpan": 0.45, "Hang": 0.5}
DENSE = 0.5  # below: characters that are words
MOST = 3.0  # times the usual length: LengthRatioFilter of OpusFilter
SLACK = 20  # characters, either way: short texts vary more


def fault(source: str, translation: Translation, pair: Pair) -> str | None:
    """What is wrong with the translation of a segment or document, in a word or two; None when nothing is."""
    if translation.text is None:
        return translation.problem or NONE
    if translation.problem is not None:
        return translation.problem
    if not translation.text.strip():
        return EMPTY if source.strip() else None
    if _loops(source, translation.text, pair):
        return LOOPING
    return _length_fault(source, translation.text, pair)


def _loops(source: str, text: str, pair: Pair) -> bool:
    in_a_row = _in_a_row(text, pair.target)
    if in_a_row > 1 and in_a_row > 2 * _in_a_row(source, pair.source):
        return True
    rate = _deflated(text)
    return rate < COMPRESSED and rate < COMPRESSED_SHARE * _deflated(source)


def _in_a_row(text: str, tag: str) -> int:
    """The most times that a piece comes in a row; 1 where none is a run."""
    heads = len(text) - HEAD + 1
    if len({text[start : start + HEAD] for start in range(heads)}) == max(heads, 0):
        return 1  # as of most sentences, and quickly said
    shortest = SHORTEST_DENSE if _density(tag) < DENSE else SHORTEST
    most, start, last = 1, 0, len(text) - RUN
    while start <= last:
        times, end = _run(text, start, shortest)
        most = max(most, times)
        start = end
    return most


def _run(text: str, start: int, shortest: int) -> tuple[int, int]:
    """How often the piece that begins at ``start`` comes in a row (1: no run), and where to go on.

    The piece is the shortest that makes a run; ``find`` tells where its second copy can begin.
    """
    head = text[start : start + HEAD]
    second = text.find(head, start + shortest, start + LONGEST + HEAD)
    while second != -1:
        piece = text[start:second]
        times, end = 1, second
        while text.startswith(piece, end):
            times, end = times + 1, end + len(piece)
        core = piece.rstrip()
        if core and text.startswith(core, end):  # nothing needs to stand after the last copy
            times, end = times + 1, end + len(core)
        if times >= IN_A_ROW and end - start >= RUN:
            return times, end
        second = text.find(head, second + 1, start + LONGEST + HEAD)
    return 1, start + 1


def _deflated(text: str) -> float:
    """Bytes of compressed text a character."""
    return len(zlib.compress(text.encode("utf-8", "surrogatepass"))) / max(len(text), 1)


def _length_fault(source: str, text: str, pair: Pair) -> str | None:
    usual = len(source.strip()) * _density(pair.target) / _density(pair.source)
    length = len(text.strip())
    if length > MOST * usual + SLACK:
        return TOO_LONG
    if length < usual / MOST - SLACK:
        return TOO_SHORT
    return None


def _density(tag: str) -> float:
    known = LANGUAGES.get(tag)
    return DENSITY.get(known.script, 1.0) if known else 1.0
