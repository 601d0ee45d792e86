"""Scores of one language of MMMLU: accuracy, letters, tables by subject, and why it is below chance where it is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langxfer.builtin.evaluators import percentage
from langxfer.builtin.evaluators.choices import accuracy
from langxfer.builtin.evaluators.mmmlu.items import Item
from langxfer.builtin.evaluators.mmmlu.prompts import LETTERS
from langxfer.components import Score
from langxfer.statistics import wilson

# An alarm that should not ring once in a thousand languages measured.
ALARM = 0.999
CHANCE = 1 / len(LETTERS)


@dataclass(frozen=True)
class Outcome:
    """What became of a question.

    Attributes:
        predicted: the letter in the end; None where none could be read.
        first: the letter at the first attempt.
        details: what else is said about it in its row.
    """

    item: Item
    predicted: str | None
    first: str | None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        return self.predicted == self.item.gold


def accuracies(name: str, outcomes: Sequence[Outcome], text: str) -> Iterator[Score]:
    """Of all, and by letter: how often each is the answer, and how often it is found where it is right."""
    yield accuracy(name, [outcome.correct for outcome in outcomes], text)
    said = Counter(outcome.predicted for outcome in outcomes)
    for letter in LETTERS:
        share, error = percentage(said[letter], len(outcomes))
        yield Score(f"{name}/letter/{letter}", share, error, len(outcomes), text, "%", None)
    for letter in LETTERS:
        if asked := [outcome.correct for outcome in outcomes if outcome.item.gold == letter]:
            yield accuracy(f"{name}/recall/{letter}", asked, text)


def attempts(name: str, outcomes: Sequence[Outcome], text: str) -> Iterator[Score]:
    """At the first attempt, how often a letter could be read there and in the end, and was cut off in the end."""
    yield accuracy(f"{name}/first", [outcome.first == outcome.item.gold for outcome in outcomes], text)
    yield accuracy(f"{name}/extracted_first", [outcome.first is not None for outcome in outcomes], text)
    yield accuracy(f"{name}/extracted", [outcome.predicted is not None for outcome in outcomes], text)
    unfinished = sum(not outcome.details["finished"] for outcome in outcomes)
    yield Score(f"{name}/unfinished", *percentage(unfinished, len(outcomes)), len(outcomes), text, "%", False)


def table(name: str, outcomes: Sequence[Outcome], groups: Mapping[str, str], text: str) -> list[Score]:
    """Accuracy of each group of subjects, and after them ``NAME_macro``, their unweighted mean."""
    found: dict[str, list[bool]] = {}
    for outcome in outcomes:
        found.setdefault(groups[outcome.item.subject], []).append(outcome.correct)
    scores = [accuracy(f"{name}/{group}", correct, text) for group, correct in sorted(found.items())]
    values = [score.value for score in scores if score.value is not None]
    errors = [score.standard_error for score in scores]
    known = [error for error in errors if error is not None]
    error = math.sqrt(math.fsum(e * e for e in known)) / len(errors) if len(known) == len(errors) else None
    return [*scores, Score(f"{name}_macro", math.fsum(values) / len(values), error, len(scores), text, "%")]


def below_chance(name: str, outcomes: Sequence[Outcome], text: str) -> tuple[Score, str] | None:
    """An accuracy that is significantly below 25 %, why, and that in words; None where it is not.

    Knowing nothing gives 25 %. Less is answers that could not be read (``extraction``), one letter said too often
    where the key has it rarely (``letter_bias``), or something else (``unexplained``).
    """
    n, right = len(outcomes), sum(outcome.correct for outcome in outcomes)
    low, high = wilson(right, n, ALARM)
    if high >= CHANCE:
        return None
    named = [outcome for outcome in outcomes if outcome.predicted is not None]
    blind = _blind(named)
    best = wilson(right, len(named), ALARM)[1] if named else 1.0
    cause = "extraction" if best >= CHANCE else "letter_bias" if best >= blind else "unexplained"
    value, error = percentage(right, n)
    sentences = {
        "extraction": "Answers that could not be read explain that: see the rows, and max_new_tokens.",
        "letter_bias": "Saying that letter too often explains that.",
        "unexplained": "Neither explains that: read some answers, and check that the key belongs to the questions.",
    }
    parts = [
        f"{name}: {value:.1f} % is below chance, 25 % (interval of 99.9 %: {100 * low:.1f} to {100 * high:.1f} %).",
        f"A letter was read in {_of(len(named), outcomes)} of {n} answers, and {_of(right, named)} of those are right.",
    ]
    if named:
        said, share = Counter(outcome.predicted for outcome in named).most_common(1)[0]
        key = ", ".join(f"{letter} {_of(sum(o.item.gold == letter for o in named), named)}" for letter in LETTERS)
        parts += [
            f"{said} is {_of(share, named)} of the letters, while the key has {key}:",
            f"blind answers with those letters would give {100 * blind:.1f} %.",
        ]
    note = " ".join([*parts, sentences[cause]])
    return Score(f"{name}/below_chance/{cause}", 100 * CHANCE - value, error, n, text, "%", False), note


def _blind(named: Sequence[Outcome]) -> float:
    """The accuracy of saying the letters as often as here, whatever the question."""
    if not named:
        return CHANCE
    said, key = (Counter(letters) for letters in zip(*((o.predicted, o.item.gold) for o in named), strict=True))
    return math.fsum(said[letter] * key[letter] for letter in LETTERS) / len(named) ** 2


def _of(count: int, of: Sequence[Outcome]) -> str:
    return f"{100 * count / len(of):.1f} %" if of else "none"
