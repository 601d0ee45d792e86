"""Names of scores, taken apart: an evaluator, a measure, and the languages that it is of."""

from __future__ import annotations

from collections.abc import Iterator

from langxfer.languages import LANGUAGES


def split_name(name: str) -> tuple[str, str]:
    """Measure and column of a score: ``belebele/de/cut`` is (cut, de), ``held_out/margin/en-over-de`` is
    (margin, en-over-de). A score without a language is a column of its own.
    """
    parts = name.split("/")[1:]
    place = next((at for at in reversed(range(len(parts))) if _languages(parts[at])), None)
    if place is None:
        return "", "/".join(parts) or "score"
    return "/".join(parts[:place] + parts[place + 1 :]), parts[place]


def languages_of(name: str) -> tuple[str, ...]:
    """The languages that a score is of: none, one, or the two of a pair."""
    return _languages(split_name(name)[1])


def _languages(part: str) -> tuple[str, ...]:
    """Of a tag, or of two of them: ``en-de``, ``en-over-de``."""
    if part in LANGUAGES:
        return (part,)
    return next((both for both in _pairs(part) if LANGUAGES.keys() >= {*both}), ())


def _pairs(part: str) -> Iterator[tuple[str, str]]:
    steps = part.split("-")
    for at in range(1, len(steps)):
        yield "-".join(steps[:at]), "-".join(steps[at:]).removeprefix("over-")
