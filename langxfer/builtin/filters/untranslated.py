"""Translations that left parts of their source as they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair
from langxfer.translation.identification import NOT_PROSE
from langxfer.translation.lengths import weighted_length
from langxfer.translation.repetition import words_of

FEWEST_PLAIN = 2  # words of a run that are neither capitalised nor numbers


class Untranslated(TextFilter):
    """Drops an example of whose target more than ``max_copied`` is made of phrases of its source.

    A phrase is a run of ``words`` words that stands in both texts, at least two of them neither capitalised in the
    source nor a number: names, titles and scores may stay. Case does not count otherwise; code and addresses are left
    out.
    ``identical`` compares whole texts and misses a translation of which every other sentence stayed in English; a
    language identifier goes by the greater part.

    No published constant is known to us. Of the human translations of FLORES and NTREX, 0 to 0.3 % by language
    have more than 0.25, and most of those do hold untranslated English.
    """

    results_version: ClassVar[int] = 2  # fences are taken out where they stand on lines of their own

    name: Literal["untranslated"] = "untranslated"
    max_copied: float = Field(0.25, ge=0, lt=1, description="Drop above this share (0 to 1) of copied text.")
    words: int = Field(4, ge=1, description="Shortest run of words that counts as copied.")

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        measure = copied_share(_prose_words(source), _prose_words(target), self.words)
        return Drop(f"untranslated {what}", measure) if measure > self.max_copied else None


def _prose_words(text: str) -> list[str]:
    return words_of(NOT_PROSE.sub(" ", text))


def copied_share(source: Sequence[str], target: Sequence[str], size: int) -> float:
    """Share of the target, by letters, that lies in runs of ``size`` words of the source that are not mostly names."""
    known = {
        tuple(word.casefold() for word in run)
        for run in zip(*(source[i:] for i in range(size)), strict=False)
        if sum(not (word[0].isupper() or word[0].isdigit()) for word in run) >= min(size, FEWEST_PLAIN)
    }
    if not known:
        return 0.0
    folded = [word.casefold() for word in target]
    copied: set[int] = set()
    for start, run in enumerate(zip(*(folded[i:] for i in range(size)), strict=False)):
        if run in known:
            copied.update(range(start, start + size))
    return weighted_length("".join(target[i] for i in copied)) / weighted_length("".join(target)) if copied else 0.0
