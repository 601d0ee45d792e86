"""What must come out of translation as it went in: numbers, addresses, code, placeholders."""

from __future__ import annotations

import re
from collections import Counter
from typing import ClassVar, Literal

from pydantic import Field

from langxfer.builtin.filters.numbers import missing_numbers
from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair

ADDRESS = re.compile(r"(?:https?://|www\.)[^\s<>\"'()\[\]（）]*[\w/#=&-]|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]*\w")
CODE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]+`", re.DOTALL)
PLACEHOLDER = re.compile(
    r"\{\{\s*\w+\s*\}\}|\$?\{\w*\}|%(?:\(\w+\))?[sdif](?!\w)|\[[A-Z][A-Z_ ]+\]|</?[A-Za-z][\w-]*/?>|\$[A-Z_]{2,}\b"
)
Kept = Literal["numbers", "addresses", "code", "placeholders"]


class Preserved(TextFilter):
    """Drops an example whose target lacks something of its source that has no translation.

    - Code (between backticks or in a fence), URLs and e-mail addresses, and placeholders (``{name}``, ``%s``,
      ``[NAME]``, ``<b>``) must be there as often as in the source; white space in code does not count.
    - Numbers are compared by their digits, whatever the script of the digits and the separators of thousands and
      decimals, or as Roman numerals. Beside million, 만 or 万 zeros at the end do not count. At most
      ``max_lost_numbers`` of them may be missing; OpusFilter's NonZeroNumeralsFilter grants half (a score of 0.5)
      without knowing any of this.

    Known false alarms: numbers written out (those up to ``largest_ignored`` are not looked for, in Chinese a number
    word excuses one number, and in Yoruba number words are read), rounded ones, and measures that were converted.
    Hours and quarters of a time of day, and imperial measures that became other numbers, are let pass.
    """

    results_version: ClassVar[int] = 2
    name: Literal["preserved"] = "preserved"
    kinds: tuple[Kept, ...] = Field(
        ("numbers", "addresses", "code", "placeholders"),
        min_length=1,
        description="What must be preserved: numbers, addresses, code, placeholders.",
    )
    max_lost_numbers: float = Field(0.0, ge=0, lt=1, description="Drop above this share (0 to 1) of lost numbers.")
    largest_ignored: int = Field(12, ge=0, description="Whole numbers up to this are not looked for.")

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        # What is found first is taken out, so that the digits of an address are no numbers.
        for kind, pattern in (("code", CODE), ("addresses", ADDRESS), ("placeholders", PLACEHOLDER)):
            wanted, there = _found(pattern, source), _found(pattern, target)
            lost = wanted - there
            if lost and kind in self.kinds:
                return Drop(f"lost {kind} of the {what}", float(lost.total()))
            source, target = (
                pattern.sub(" ", source) if wanted else source,
                pattern.sub(" ", target) if there else target,
            )
        if "numbers" not in self.kinds:
            return None
        missing, looked_for = missing_numbers(source, target, pair.target, self.largest_ignored)
        share = len(missing) / looked_for if missing else 0.0
        return Drop(f"lost numbers of the {what}", share) if share > self.max_lost_numbers else None


def _found(pattern: re.Pattern[str], text: str) -> Counter[str]:
    return Counter("".join(found.split()) for found in pattern.findall(text))
