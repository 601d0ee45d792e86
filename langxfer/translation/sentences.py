"""Where sentences end, and where a sentence can be cut when it is too long for a translator."""

from __future__ import annotations

import re

SURROGATE = re.compile("[\ud800-\udfff]")
_FULL_WIDTH_END = re.compile(r"[。！？｡．…؟۔।॥။։።፧][」』”’）】》\"')\]]*$")
_CLAUSE_END = re.compile(r"[;:,–—](?=\s)|[，、；：،؛]")


def split_sentences(text: str, language: str) -> list[str]:
    """The sentences of ``text``, each with the white space that follows it; they join to the very text.

    The boundaries are those of sentencex (Wikimedia), less those that it sees inside a word.

    Args:
        text: prose; a line break ends no sentence unless an empty line follows.
        language: BCP-47 tag.
    """
    from sentencex import segment

    sentences: list[str] = []
    start = 0
    whole = True  # whether the last piece ends a sentence
    # A lone surrogate is no UTF-8, which the library wants; another character in its place keeps the lengths.
    for piece in segment(language.split("-")[0], SURROGATE.sub("\ufffd", text)):
        end = start + len(piece)
        own = text[start:end]
        if sentences and (not whole or own.isspace()):
            sentences[-1] += own
        else:
            sentences.append(own)
        whole = own[-1:].isspace() or bool(_FULL_WIDTH_END.search(own))
        start = end
    return sentences


def split_further(segment: str, language: str) -> list[str]:
    """Two pieces that join to the segment, cut after the clause mark nearest to the middle, else at a space.

    One piece where there is no place to cut that leaves a letter on both sides.

    Args:
        segment: one sentence.
        language: BCP-47 tag.
    """
    del language
    for places in (_CLAUSE_END, re.compile(r"(?=\s)")):
        cuts = [found.end() for found in places.finditer(segment)]
        cuts = [cut for cut in cuts if has_letter(segment[:cut]) and has_letter(segment[cut:])]
        if cuts:
            cut = min(cuts, key=lambda place: abs(2 * place - len(segment)))
            return [segment[:cut], segment[cut:]]
    return [segment]


def has_letter(text: str) -> bool:
    """Whether there is anything to translate: digits, signs and emoji are the same in every language."""
    return any(map(str.isalpha, text))
