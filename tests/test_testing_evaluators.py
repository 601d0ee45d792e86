"""The kit's check of evaluators: what it says about questions, passages and further attempts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import pytest

from langxfer.components import Evaluation, Evaluator, Evidence, Generation, Passage, Prompt, Question, Score
from langxfer.data import ParallelExample
from langxfer.testing import check_evaluator


class Asks(Evaluator):
    """Asks for one of everything, and for empty answers three times."""

    name: Literal["asks"] = "asks"
    fault: str = ""

    def prompts(self, examples: Sequence[ParallelExample]) -> list[Prompt]:
        first = int(self.fault == "first")
        return [Prompt(example.id, example.source.prompt, "en", attempt=first) for example in examples]

    def ask_again(self, generations: Sequence[Generation]) -> Iterable[Prompt]:
        last = {answer.prompt.id: answer for answer in generations}
        if self.fault == "stranger":
            yield Prompt("new", "text", "en", attempt=1)
        for answer in last.values():
            prompt = answer.prompt
            if self.fault == "ends" or (not answer.text and prompt.attempt < 3):
                yield replace(prompt, attempt=prompt.attempt + (self.fault != "repeats"))
                if self.fault == "twice":
                    yield replace(prompt, attempt=prompt.attempt + 2)

    def questions(self, examples: Sequence[ParallelExample]) -> list[Question]:
        options = {"bare": (), "blank": ("a", "")}.get(self.fault, (" a", " bc"))
        return [Question("same" if self.fault == "ids" else f"q{e.id}", e.source.prompt, options) for e in examples]

    def passages(self, examples: Sequence[ParallelExample]) -> list[Passage]:
        tag = "klingon" if self.fault == "language" else "en"
        return [Passage(example.id, example.source.response, tag) for example in examples]

    def evaluate(self, evidence: Evidence) -> Evaluation:
        assert len(evidence.questions) == len(evidence.passages) == len(evidence.examples)
        ties = sum(len(set(scored.totals)) == 1 for scored in evidence.questions)
        most = max((answer.prompt.attempt for answer in evidence.generations), default=0)
        low = 9.0 if self.fault == "interval" else 0.0
        scores = [Score("ties", float(ties), None, 1, "v1", interval=(low, 100.0)), Score("most", most, None, 1, "v1")]
        return Evaluation(scores, [{"id": scored.question.id} for scored in evidence.questions])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("first", "not its first attempt"),
        ("ids", "two questions have the same id"),
        ("bare", r"no options, or an empty one: \(\)"),
        ("blank", r"no options, or an empty one: \('a', ''\)"),
        ("repeats", r"attempt 0 of .* after 0"),
        ("twice", "names a prompt twice"),
        ("stranger", "names new, which prompts does not"),
        ("ends", "still asks after 50 rounds"),
        ("interval", r"is outside of \(9\.0, 100\.0\)"),
    ],
)
def test_faults_are_named(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_evaluator(Asks(fault=fault))


def test_what_is_right_passes() -> None:
    check_evaluator(Asks())


def test_an_unknown_language_is_an_error() -> None:
    with pytest.raises(ValueError, match="klingon"):
        check_evaluator(Asks(fault="language"))
