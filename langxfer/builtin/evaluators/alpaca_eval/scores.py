"""Scores of the items of one language, judged with one wording of the prompt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from langxfer.builtin.evaluators import digest, mean, percentage, signature
from langxfer.builtin.evaluators.alpaca_eval.contests import Item, Outcome
from langxfer.builtin.evaluators.alpaca_eval.length_control import (
    Comparison,
    Difficulties,
    is_extreme,
    length_controlled,
    require_scikit_learn,
)
from langxfer.components import Score

BIASED = 3.0  # standard errors from 50 % at which a judge's liking for the first place is said to be more than chance


@dataclass(frozen=True)
class Judged:
    """Items of a language with what came of them.

    Attributes:
        suffix: of the scores' names: ``de``, or ``de/original`` for a second wording.
        parts: of the signature, beside the items.
    """

    suffix: str
    items: Sequence[Item]
    outcomes: Sequence[Outcome]
    parts: Mapping[str, object]

    @property
    def preferences(self) -> list[float]:
        """Those that are there, for the model."""
        return [outcome.preference for outcome in self.outcomes if outcome.preference is not None]

    def signature(self, **more: object) -> str:
        """What decides the scores; the texts that were compared stand in it as a digest."""
        texts = digest((item.instruction, item.baseline) for item in self.items)
        return signature({"ev": "alpaca_eval", "n": len(self.preferences), **self.parts, **more, "items": texts})


def win_rates(judged: Judged) -> Iterator[Score]:
    """Win rate, the same of rounded verdicts; and wins, losses and ties apart, which ties are no half of."""
    preferences, text, suffix = judged.preferences, judged.signature(), judged.suffix
    n = len(preferences)
    if not n:  # the judge said nothing on this language
        yield Score(f"alpaca_eval/win_rate/{suffix}", None, None, 0, text, "%")
        return
    discrete = [outcome.side for outcome in judged.outcomes if outcome.side is not None]
    for name, values in (("win_rate", preferences), ("discrete_win_rate", discrete)):
        value, error = _percent(values)
        yield Score(f"alpaca_eval/{name}/{suffix}", value, error, n, text, "%")
    for name, kind, better in (("wins", 1.0, True), ("losses", 0.0, False), ("ties", 0.5, None)):
        value, error = percentage(discrete.count(kind), n)
        yield Score(f"alpaca_eval/{name}/{suffix}", value, error, n, text, "%", higher_is_better=better)


def first_preferred(judged: Judged) -> tuple[list[Score], list[str]]:
    """How often the judge prefers the answer that it sees first (50 % without bias), and a note where it is biased."""
    own = [outcome.first for outcome in judged.outcomes if outcome.first]
    if not own:
        return [], []
    value, error = _percent([math.fsum(first) / len(first) for first in own])
    name = f"alpaca_eval/first_preferred/{judged.suffix}"
    scores = [Score(name, value, error, len(own), judged.signature(), "%", higher_is_better=None)]
    notes = []
    if error is not None and abs(value - 50) > BIASED * error:
        cancelled = all(len(first) == 2 for first in own)
        place = "first" if value > 50 else "second"
        notes.append(
            f"{name}: the judge is biased: it prefers the {place} answer in {max(value, 100 - value):.1f} % of its "
            "verdicts, whatever that answer is. "
            + ("Both orders were judged, so this cancels." if cancelled else "Set both_orders, so that this cancels.")
        )
    return scores, notes


def with_length_control(judged: Judged, difficulties: Difficulties | None) -> tuple[list[Score], list[str]]:
    """The length-controlled win rate, and a note where it is far from the plain one."""
    compared = [
        Comparison(
            outcome.preference,
            len(item.baseline),
            len(item.answer),
            difficulties.by_place[item.place] if difficulties else 0.0,
        )
        for item, outcome in zip(judged.items, judged.outcomes, strict=True)
        if outcome.preference is not None
    ]
    found = length_controlled(compared, difficulties)
    model = "published" if difficulties else "minimal"
    text = judged.signature(length_model=model, sklearn=require_scikit_learn())
    name = f"alpaca_eval/length_controlled_win_rate/{judged.suffix}"
    if found is None:
        few = f"{name}: {len(compared)} items are too few for the regression behind it"
        return [Score(name, None, None, len(compared), text, "%")], [few]
    score = Score(name, found.win_rate, found.standard_error, len(compared), text, "%")
    plain = _percent(judged.preferences)[0]
    if not is_extreme(plain, found.win_rate):
        return [score], []
    return [score], [
        f"{name}: control for length moved the win rate from {plain:.1f} to {found.win_rate:.1f} %. So large a change "
        "can mean that the regression failed; compare the answers' lengths."
    ]


def empty_rates(suffix: str, items: Sequence[Item], text: str) -> Iterator[Score]:
    """The shares of empty answers: two of them are a tie, so that a model which says nothing can look like another."""
    for name, count in (
        ("empty", sum(not item.answer.strip() for item in items)),
        ("baseline_empty", sum(not item.baseline.strip() for item in items)),
    ):
        value, error = percentage(count, len(items))
        better = False if name == "empty" else None
        yield Score(f"alpaca_eval/{name}/{suffix}", value, error, len(items), text, "%", higher_is_better=better)


def agreement(language: str, first: Judged, second: Judged) -> tuple[Score, list[bool]]:
    """How often two wordings of the prompt give an item to the same side (or call it a tie), and which are flips."""
    pairs = [(a.side, b.side) for a, b in zip(first.outcomes, second.outcomes, strict=True)]
    flips = [None not in pair and pair[0] != pair[1] for pair in pairs]
    both = sum(None not in pair for pair in pairs)
    value, error = percentage(both - sum(flips), both) if both else (None, None)
    name = f"alpaca_eval/prompt_agreement/{language}"
    return Score(name, value, error, both, first.signature(prompt="both"), "%", higher_is_better=None), flips


def _percent(values: Sequence[float]) -> tuple[float, float | None]:
    value, error = mean(values)
    return 100 * value, None if error is None else 100 * error
