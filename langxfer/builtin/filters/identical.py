"""Texts that came out of translation as they went in."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from typing import Literal

from pydantic import Field

from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair

# Comparing by characters takes a time quadratic in the length, so longer texts are compared by pieces.
LONGEST_BY_CHARACTERS = 200

# Pieces of words, not whole ones: scripts without spaces have none, and an ending changes little of a word.
PIECES = re.compile(r"\w{1,4}|[^\w\s]")


class Identical(TextFilter):
    """Drops an example whose two responses are the same, or nearly, in both languages.

    Numbers, code and names come out of translation unchanged. If the responses are equal, so are SS and ST,
    TS and TT: each margin of CLO and DPO is zero whatever the model does, and has no gradient; the example
    only dilutes the batch. If they are nearly equal, what is preferred is an accident of a few tokens.

    With ``texts: prompt`` or ``either`` prompts are compared too. Equal prompts make the two terms of CLO
    contradict each other: the same prompt must prefer the source answer in one and the target answer in the other.

    Case, width and spacing do not count. Similarity is ``2 * matching / (length + length)`` of
    ``difflib.SequenceMatcher``: over characters up to 200 of them, over pieces of words beyond that.
    """

    name: Literal["identical"] = "identical"
    max_similarity: float = Field(
        0.9, ge=0, le=1, description="Drop above this similarity (0 to 1); 1 drops only equal texts, which always go."
    )
    texts: Literal["response", "prompt", "either"] = Field(
        "response", description="What is compared between the languages: responses, prompts, or both, and either drops."
    )

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        measure = similarity(source, target, self.max_similarity)
        if measure == 1:
            return Drop(f"identical {what}", 1.0)
        return Drop(f"near-identical {what}", measure) if measure > self.max_similarity else None


def similarity(first: str, second: str, needed: float = 0.0) -> float:
    """How alike two texts are, from 0 to 1 (equal but for case, width and spacing); symmetric.

    Where it cannot exceed ``needed``, an upper bound that does not either may be given instead, which is far cheaper.
    """
    # SequenceMatcher depends on the order of its arguments.
    shorter, longer = sorted((_normal(first), _normal(second)), key=lambda text: (len(text), text))
    if shorter == longer:
        return 1.0
    by_characters = len(longer) <= LONGEST_BY_CHARACTERS
    parts = (shorter, longer) if by_characters else (PIECES.findall(shorter), PIECES.findall(longer))
    matcher = SequenceMatcher(None, *parts, autojunk=False)
    bound = min(matcher.real_quick_ratio(), matcher.quick_ratio())
    # Texts that differ are not identical, even where their pieces are the same.
    return min(bound if bound <= needed else matcher.ratio(), 1 - 1e-6)


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
