"""Texts that are mostly signs."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from pydantic import Field

from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair

SIGN = re.compile(r"[^\w\s]|_")
BLANK = re.compile(r"\s+")


class Alphanumeric(TextFilter):
    """Drops an example with a text of which more than ``max_share`` is neither letter nor digit.

    White space does not count; vowel signs and tone marks count as letters, since Hindi, Thai and Yoruba are written
    with them. The share is that of the card of LumiOpen's instruction-collection-fin (30 %). OpusFilter's AlphabetRatio
    (75 % letters) and Bicleaner's hard rules (10 %) are neighbours.

    Formulas, tables and code are mostly signs too, and go. Shorter texts than ``min_characters`` are let pass: "A+" is
    an answer, and in "Oh, no!" two signs are a third.
    """

    name: Literal["alphanumeric"] = "alphanumeric"
    max_share: float = Field(0.3, ge=0, lt=1, description="Drop above this share (0 to 1) of signs.")
    min_characters: int = Field(20, ge=1, description="Texts with fewer characters are let pass.")

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        measure = max(self._share(source), self._share(target))
        return Drop(f"mostly signs in the {what}", measure) if measure > self.max_share else None

    def _share(self, text: str) -> float:
        dense = BLANK.sub("", text)
        if len(dense) < self.min_characters:
            return 0.0
        signs = SIGN.findall(dense)
        return sum(unicodedata.category(sign)[0] != "M" for sign in signs) / len(dense)
