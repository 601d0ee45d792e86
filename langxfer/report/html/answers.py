"""Answers before and after, side by side, each with the language that it was found to be in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langxfer.languages import LANGUAGES
from langxfer.report.finished import Finished

SHOWN = 20  # prompts of an evaluator in a language; all answers are in the run's folder
LONGEST = 1200  # characters of a text that are shown


@dataclass(frozen=True)
class Text:
    """A text of ``length`` characters, of which the first are shown; ``language`` is its BCP-47 tag if known."""

    shown: str
    length: int
    language: str | None = None

    @property
    def cut(self) -> bool:
        return len(self.shown) < self.length


@dataclass(frozen=True)
class Answer:
    """What a model wrote.

    Attributes:
        verdict: of the evaluator on its language: full, mixed, wrong, unknown, too_short, empty; None without one.
        detected: the name of the language that it was taken for; None where nothing was identified.
        finished: False where the limit of tokens ended it.
    """

    text: Text
    verdict: str | None = None
    detected: str | None = None
    finished: bool = True


@dataclass(frozen=True)
class Exchange:
    """A prompt and its answers; without an unadapted model there is none before."""

    id: str
    prompt: Text
    before: Answer | None
    after: Answer


@dataclass(frozen=True)
class AnswerGroup:
    """Answers to an evaluator's prompts in one language: the first ones, and the verdicts on all of them."""

    evaluator: str
    language: str
    exchanges: tuple[Exchange, ...]
    total: int
    verdicts: Mapping[str, tuple[int, int]]  # before, after

    @property
    def language_name(self) -> str:
        return language_name(self.language)


def cut(text: str, language: str | None = None) -> Text:
    """A text as long as a page can bear."""
    return Text(text[:LONGEST], len(text), language)


def language_name(tag: str) -> str:
    """In English; the tag itself where it is unknown."""
    return LANGUAGES[tag].name if tag in LANGUAGES else tag


def answer_groups(finished: Finished) -> Iterator[AnswerGroup]:
    """By evaluator and language, in the order in which prompts were asked. Of several attempts the last one counts."""
    for evaluator, evaluation in finished.after.items():
        after = {row["id"]: row for row in finished.answers(evaluator)}
        before = {row["id"]: row for row in finished.answers(evaluator, "before")} if finished.before else {}
        old = finished.before.get(evaluator)
        judged = [{row["id"]: row for row in (own.rows if own else ())} for own in (old, evaluation)]
        for tag in dict.fromkeys(row["language"] for row in after.values()):
            own = [row for row in after.values() if row["language"] == tag]
            yield AnswerGroup(
                evaluator,
                tag,
                tuple(_exchange(row, before.get(row["id"]), judged) for row in own[:SHOWN]),
                len(own),
                _verdicts([row["id"] for row in own], judged),
            )


def _exchange(
    row: Mapping[str, Any], old: Mapping[str, Any] | None, judged: Sequence[Mapping[str, Mapping[str, Any]]]
) -> Exchange:
    name = row["id"]
    before = _answer(old, judged[0].get(name, {})) if old is not None else None
    return Exchange(name, cut(row["prompt"], row["language"]), before, _answer(row, judged[1].get(name, {})))


def _answer(row: Mapping[str, Any], judged: Mapping[str, Any]) -> Answer:
    verdict, detected = judged.get("verdict"), judged.get("detected")
    tag = row["language"] if verdict == "full" else detected if detected in LANGUAGES else None
    return Answer(
        cut(row["answer"], tag), verdict, language_name(detected) if detected else None, row.get("finished", True)
    )


def _verdicts(names: Sequence[str], judged: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, tuple[int, int]]:
    first, second = (Counter(rows[name].get("verdict") for name in names if name in rows) for rows in judged)
    found = dict.fromkeys(verdict for verdict in [*second, *first] if verdict)
    return {verdict: (first[verdict], second[verdict]) for verdict in found}
