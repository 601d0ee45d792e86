"""Texts with nothing to see in them."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from pydantic import Field

from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair

BLANK = re.compile(r"\s+")


class Empty(TextFilter):
    """Drops an example with a text of fewer than ``min_characters`` visible characters, in either language.

    White space, control characters and those without a shape (zero-width spaces and joiners, byte order marks,
    directions) are not visible. Rows whose text is missing or blank never become examples; this filter is for
    texts that only look as if they were there. stopes asks for 5 characters (``min_len``), which a one-word answer has
    not; so the default is 1.
    """

    name: Literal["empty"] = "empty"
    min_characters: int = Field(1, ge=1, description="Drop a text with fewer visible characters.")

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        least = min(visible_characters(source), visible_characters(target))
        return Drop(f"empty {what}", float(least)) if least < self.min_characters else None


def visible_characters(text: str) -> int:
    """How many characters of a text have a shape."""
    dense = BLANK.sub("", text)
    # Zl, Zp and Zs are white space, and gone; Cc, Cf, Cs and Cn have no shape.
    return len(dense) if dense.isprintable() else sum(unicodedata.category(c)[0] != "C" for c in dense)
