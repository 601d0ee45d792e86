"""Translations that are too short or too long for their source."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair
from langxfer.languages import check_language
from langxfer.translation.lengths import MARKS, usual_ratio, weighted_length

# The end of a sentence, with what may close behind it. Armenian, Devanagari, Arabic, Ethiopic and CJK signs among them.
FINISHED = re.compile(
    r"""[.!?;…।॥։؟۔።፧。！？；．｡][)\]}>"'”’»›“‘」』）】》*_`~\s]*\Z"""
    # Thai, Lao, Burmese and Khmer write no full stop that could be missed.
    r"|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff][)\]}\"'”’»*_`\s]*\Z"
)
SENTENCE_END = re.compile(r"[.!?…।॥։؟۔።፧][)\]}>\"'”’»›“‘」』）】》*_`]*(?=\s+\S)|[。！？｡]+[”’」』）】》\"'*_`]*(?=\S)")
END = 40  # characters of a text's end that are looked at


class LengthRatio(TextFilter):
    """Drops an example with a translation far from its usual length: cut off, or with something added.

    Length is counted in characters without white space; those of dense scripts count for several, so that Latin names
    in a Chinese text do no harm. Usual is the length of the source times the factor of the language pair: medians of
    FLORES, which stopes takes too (``length_factors``). An example goes when its target has

    - fewer than ``min_ratio * usual - slack`` characters: truncated,
    - fewer than ``doubtful_ratio * usual - slack``, where it has fewer sentences than its source, or where the source
      has no full stop at its end that could be missed: truncated,
    - fewer than ``unfinished_ratio * usual``, and no full stop where its source has one: truncated,
    - more than ``max_ratio * usual + slack``: too long.

    ``max_ratio`` is OpusFilter's (3; stopes has 9). Both use it in either direction, to rid crawled text of pairs that
    are none; a translation of which half is lost passes them. So the lower bounds are from FLORES, of whose human
    translations they drop 0 to 0.1 % by language, and 0 to 1 % once the full stops of both sides are taken away. Long
    texts vary less than short ones, for which ``slack`` is.
    """

    name: Literal["length_ratio"] = "length_ratio"
    min_ratio: float = Field(0.5, ge=0, lt=1, description="Drop below this share of the usual length, less slack.")
    doubtful_ratio: float = Field(
        0.65,
        ge=0,
        description="The same where there are fewer sentences than in the source, or its end has no full stop.",
    )
    unfinished_ratio: float = Field(
        0.9, ge=0, description="Drop below this share of the usual length where the end of the sentence is missing too."
    )
    max_ratio: float = Field(3.0, gt=1, description="Drop above this multiple of the usual length, plus slack.")
    slack: float = Field(4.0, ge=0, description="Characters granted either way: short texts vary more.")
    factors: dict[str, float] = Field(
        {}, description="By BCP-47 tag: characters for one of English; overrides what is built in."
    )

    @field_validator("factors")
    @classmethod
    def _known(cls, factors: dict[str, float]) -> dict[str, float]:
        for tag, factor in factors.items():
            if not factor > 0:
                raise ValueError(f"the factor of {check_language(tag)} is {factor:g}. Expected a number above 0")
            check_language(tag)
        return factors

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        usual = weighted_length(source) * usual_ratio(pair, self.factors)
        length = weighted_length(target)
        measure = length / usual if usual else 1.0
        if length < self.min_ratio * usual - self.slack:
            return Drop(f"truncated {what}", measure)
        if length < self.unfinished_ratio * usual and finished(source) and not finished(target):
            return Drop(f"truncated {what}", measure)
        if length < self.doubtful_ratio * usual - self.slack and (
            not finished(source) or sentence_count(target) < sentence_count(source)
        ):
            return Drop(f"truncated {what}", measure)
        return Drop(f"too long {what}", measure) if length > self.max_ratio * usual + self.slack else None


def finished(text: str) -> bool:
    """Whether a text ends as a sentence does."""
    return FINISHED.search(MARKS.sub("", text[-END:])) is not None


def sentence_count(text: str) -> int:
    """How many sentences a text has, roughly: every full stop with something behind it ends one."""
    return 1 + len(SENTENCE_END.findall(text))
