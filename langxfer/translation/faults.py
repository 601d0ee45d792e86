"""What a bad translation looks like from outside: cut off, running in circles, far too long or short.

Suspicion is relative to the source: one that repeats itself may have a translation that repeats itself.
"""

from __future__ import annotations

from langxfer.components import Pair, Translation
from langxfer.languages import LANGUAGES
from langxfer.translation.lengths import usual_ratio, weighted_length
from langxfer.translation.repetition import compressed, times_in_a_row

VERSION = 2  # raised when other translations begin to be accepted: accepted ones are in the cache

NONE = "missing"  # the translator has none
EMPTY, LOOPING, TOO_LONG, TOO_SHORT, TRUNCATED = "empty", "looping", "too long", "too short", "truncated"

# Three times or more in a row, from 3 characters on: RepetitionFilter of OpusFilter (Aulamo et al. 2020). That one
# stops at 100 characters; loops of whole sentences are longer. In scripts without spaces from 4 on, as in Bicleaner's
# hard rules: words are short there, and doubled. Runs below 12 characters are words in some languages (Yoruba
# "gbogbogbo"); in all others there are 8 characters that come again.
IN_A_ROW = 3
SHORTEST, SHORTEST_UNSPACED, LONGEST = 3, 4, 300
RUN, HEAD = 12, 8
UNSPACED_SCRIPTS = ("Hans", "Hant", "Jpan")

COMPRESSED = 0.3  # bytes a character; as the filter ``repetition``
COMPRESSED_SHARE = 0.5  # of the source's; looser than the source's own rate in another language

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
    if in_a_row >= IN_A_ROW and in_a_row > 2 * _in_a_row(source, pair.source):
        return True
    rate = compressed(text)
    return rate < COMPRESSED and rate < COMPRESSED_SHARE * compressed(source)


def _in_a_row(text: str, tag: str) -> int:
    """The most times that a piece comes in a row; 1 where none is a run."""
    known = LANGUAGES.get(tag)
    unspaced = known is not None and known.script in UNSPACED_SCRIPTS
    spaced = f" {text} "  # so that words at the ends come with theirs
    sizes = _distances(spaced, SHORTEST_UNSPACED if unspaced else SHORTEST)
    times = times_in_a_row(spaced, sizes, RUN) if sizes else 1
    return times if times >= IN_A_ROW else 1


def _distances(text: str, shortest: int) -> list[int]:
    """How far the same few characters lie apart, ascending: a piece that comes in a row has one of these sizes.

    What is smaller than ``shortest`` counts as its first multiple that is not. Most sentences have none.
    """
    last: dict[str, int] = {}
    found: set[int] = set()
    for place in range(len(text) - HEAD + 1):
        head = text[place : place + HEAD]
        before = last.get(head)
        if before is not None:
            found.add(place - before)
        last[head] = place
    return sorted({size * -(-shortest // size) if size < shortest else size for size in found if size <= LONGEST})


def _length_fault(source: str, text: str, pair: Pair) -> str | None:
    usual = weighted_length(source) * usual_ratio(pair)
    length = weighted_length(text)
    if length > MOST * usual + SLACK:
        return TOO_LONG
    if length < usual / MOST - SLACK:
        return TOO_SHORT
    return None
