"""Asking a translator, and asking again where the answer looks cut or runs in circles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, SupportsFloat

from langxfer.components import OpenTranslator, Pair, Translation
from langxfer.errors import LangxferError, PluginError
from langxfer.translation.faults import NONE, fault
from langxfer.translation.sentences import split_further
from langxfer.translation.skeleton import Skeleton, take_apart

SPLITS = 3  # times that a segment is cut in two, when its parts come back with a problem as well


class Attempt(NamedTuple):
    """What became of a segment.

    Attributes:
        translation: with a problem where no attempt gave a translation that can be trusted.
        first_problem: of the first attempt; None where that was good.
    """

    translation: Translation
    first_problem: str | None


class Attempts:
    """A translator whose answers are not believed at once.

    A suspicious one (``faults``) is asked for again: with other settings, where the translator has
    ``translate_again``; then in parts. A translation that stays suspicious has a problem.

    A failure of these later attempts is kept back, so that what the first one gave can be kept: see ``raise_failure``.

    Args:
        opened: an open translator.
        unit: what it is given at a time, ``sentence`` or ``document``.
    """

    def __init__(self, opened: OpenTranslator, unit: str):
        self._opened, self._unit = opened, unit
        self._failure: LangxferError | None = None

    def translate(self, segments: Sequence[str], pair: Pair) -> list[Attempt]:
        """One attempt a segment, in order.

        Raises:
            PluginError: the translator broke its contract.
            LangxferError: the translator failed at the first attempt, and gave nothing.
        """
        firsts = self._ask(self._opened.translate, segments, pair)
        results = self._retried(segments, firsts, pair, SPLITS)
        return [Attempt(result, first.problem) for result, first in zip(results, firsts, strict=True)]

    def raise_failure(self) -> None:
        """Raise what kept a later attempt from being made, or what the translator has kept back."""
        if self._failure is not None:
            raise self._failure
        if hasattr(self._opened, "raise_failure"):
            self._opened.raise_failure()

    def _retried(
        self, segments: Sequence[str], firsts: Sequence[Translation], pair: Pair, splits: int
    ) -> list[Translation]:
        results = list(firsts)
        if again := getattr(self._opened, "translate_again", None):
            suspects = _suspects(results)
            answers = self._ask_more(again, [segments[number] for number in suspects], pair)
            for number, answer in zip(suspects, answers, strict=True):
                if answer.problem is None:
                    results[number] = answer
        if splits:
            suspects = _suspects(results)
            joined = self._in_parts([segments[number] for number in suspects], pair, splits)
            for number, answer in zip(suspects, joined, strict=True):
                if answer is not None:
                    results[number] = answer
        return results

    def _in_parts(self, segments: Sequence[str], pair: Pair, splits: int) -> list[Translation | None]:
        """Translations put together from those of parts; None where there are no parts, or one of them has none."""
        skeletons = [self._parts(segment, pair.source) for segment in segments]
        parts = [part for skeleton in skeletons for part in skeleton.segments if len(skeleton.segments) > 1]
        firsts = self._ask_more(self._opened.translate, parts, pair)
        answers = iter(self._retried(parts, firsts, pair, splits - 1) if parts else ())
        joined: list[Translation | None] = []
        for segment, skeleton in zip(segments, skeletons, strict=True):
            own = [next(answers) for _ in skeleton.segments] if len(skeleton.segments) > 1 else []
            joined.append(_joined(segment, skeleton, own, pair))
        return joined

    def _parts(self, segment: str, tag: str) -> Skeleton:
        if self._unit == "document":
            skeleton = take_apart(segment, tag)
            if len(skeleton.segments) > 1:
                return skeleton
        return Skeleton.of_pieces(split_further(segment, tag), tag)

    def _ask_more(
        self, translate: Callable[[Sequence[str], Pair], Any], segments: Sequence[str], pair: Pair
    ) -> list[Translation]:
        """As ``_ask``; after a failure nobody is asked any more, and nothing has a translation."""
        if self._failure is None:
            try:
                return self._ask(translate, segments, pair)
            except LangxferError as failure:
                self._failure = failure
        return [Translation(None, problem=NONE) for _ in segments]

    def _ask(
        self, translate: Callable[[Sequence[str], Pair], Any], segments: Sequence[str], pair: Pair
    ) -> list[Translation]:
        if not segments:
            return []
        answers = checked(translate(segments, pair), segments, self._opened)
        return [_judged(segment, answer, pair) for segment, answer in zip(segments, answers, strict=True)]


def checked(answers: Any, asked: Sequence[str], opened: OpenTranslator) -> list[Translation]:
    """A translator's answers as Translations.

    Raises:
        PluginError: they are not one text, Translation or None for each segment.
    """
    answers = kept_contract(answers, asked, type(opened).__name__)
    return [_plain(answer) if isinstance(answer, Translation) else Translation(answer) for answer in answers]


def _plain(answer: Translation) -> Translation:
    """With a plain number for the score: numpy's and torch's cannot be kept."""
    if answer.score is None or type(answer.score) is float:
        return answer
    return Translation(answer.text, float(answer.score), answer.problem)


def kept_contract(answers: Any, asked: Sequence[str], name: str) -> list[str | Translation | None]:
    """A translator's answers, where they are one for each segment; ``name`` says whose they are.

    Raises:
        PluginError: they are not one text, Translation or None for each segment.
    """
    try:
        answers = list(answers)
    except TypeError:
        found = type(answers).__name__
    else:
        wrong = [found for found in map(_fault, answers) if found is not None]
        if not wrong and len(answers) == len(asked):
            return answers
        found = f"{len(answers)} translations" + (f", among them {wrong[0]}" if wrong else "")
    raise PluginError(
        f"the translator {name} gave {found} for {len(asked)} segments. Expected one text, "
        "Translation or None for each, in order: this is a fault of the plugin that brings it."
    )


def _fault(answer: Any) -> str | None:
    """What an answer is, where it is none."""
    if not isinstance(answer, Translation):
        return None if isinstance(answer, str | None) else type(answer).__name__
    if not isinstance(answer.text, str | None):
        return f"a Translation whose text is {answer.text!r}"
    score = answer.score
    fine = score is None or type(score) is float or isinstance(score, SupportsFloat)
    return None if fine else f"a Translation whose score is {score!r}"


def _judged(segment: str, answer: Translation, pair: Pair) -> Translation:
    return Translation(answer.text, answer.score, fault(segment, answer, pair))


def _suspects(results: Sequence[Translation]) -> list[int]:
    """A translator that says that it has no translation is believed."""
    return [number for number, result in enumerate(results) if result.problem not in (None, NONE)]


def _joined(segment: str, skeleton: Skeleton, parts: Sequence[Translation], pair: Pair) -> Translation | None:
    texts = [part.text for part in parts if part.text is not None and part.problem is None]
    if not parts or len(texts) < len(parts):
        return None
    scores = [part.score for part in parts if part.score is not None]
    score = sum(scores) / len(scores) if len(scores) == len(parts) else None
    answer = _judged(segment, Translation(skeleton.rebuild(texts, pair.target), score), pair)
    return answer if answer.problem is None else None
