"""What became of an answer that was due in a language, whatever the rules that judged it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from langxfer.errors import DataError
from langxfer.records import read_text

Verdict = Literal["full", "mixed", "wrong", "unknown", "too_short", "empty"]
# Of the others nothing can be said, so they are not covered.
JUDGED: tuple[Verdict, ...] = ("full", "mixed", "wrong")
FAULTS: tuple[Verdict, ...] = ("mixed", "wrong", "unknown", "too_short", "empty")

OPTION = "language_fidelity.words"


@dataclass(frozen=True)
class Outcome:
    """The verdict on an answer, and what it rests on.

    Attributes:
        verdict: ``full`` in its language, ``mixed``, ``wrong``, or why nothing can be said.
        detected: label of the whole, or the most frequent one of its lines; None where nothing was identified.
        confidence: of ``detected``; None where it stands for several lines.
        right_lines, wrong_lines: lines long enough to be judged alone; ``unknown`` ones count as the rules say.
        english: English words in an answer that is ``full``, in a language that is not written in Latin letters;
            None where they were not looked for.
    """

    verdict: Verdict
    detected: str | None = None
    confidence: float | None = None
    right_lines: int = 0
    wrong_lines: int = 0
    english: tuple[str, ...] | None = None


def verdict_on(right: int, wrong: int) -> Verdict:
    """The verdict on an answer with so many parts in its language and in others, at least one."""
    return "mixed" if right and wrong else "full" if right else "wrong"


def read_english(path: str) -> frozenset[str]:
    """The words of a list, one a line, that the Language Confusion Benchmark uses: lower case, over three letters.

    Raises:
        DataError: the list cannot be read, or holds no such word.
    """
    lines = read_text(Path(path), OPTION).splitlines()
    words = frozenset(word for line in lines if (word := line.strip()).islower() and len(word) > 3)
    if not words:
        raise DataError(f"{OPTION} {path} has no word in lower case of over three letters. Expected one word a line.")
    return words
