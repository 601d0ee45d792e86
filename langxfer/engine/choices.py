"""Scores of multiple-choice questions: the log-probability of every option after its context."""

from __future__ import annotations

from collections.abc import Sequence

from langxfer.components import OptionScores, Question
from langxfer.engine.boundary import Boundary
from langxfer.engine.continuations import Asked, Progress, totals, window
from langxfer.engine.encode import Encoder
from langxfer.engine.forward import Scorer
from langxfer.errors import DataError


def score_questions(
    scorer: Scorer, encoder: Encoder, questions: Sequence[Question], budget: int, progress: Progress
) -> list[OptionScores]:
    """The questions' scores in order, in micro-batches of ``budget`` tokens.

    Neither the budget nor the order changes a score beyond rounding. ``progress`` is told (done, all) questions.

    Raises:
        DataError: an option has no token, or more than the model can read.
        NotFinite: a log-probability is not a finite number; names the questions.
    """
    boundary, size = Boundary(encoder), window(scorer)
    asked: list[Asked] = []
    cuts: list[int] = []
    for question, (context, options) in zip(questions, boundary.encode(questions), strict=True):
        room = size + 1 - max(map(len, options))  # the last token of an option is not read
        if room < 1:
            raise DataError(
                f"question {question.id}: an option has {size + 1 - room} tokens, and the model reads {size}. "
                "Ask for shorter ones."
            )
        kept = boundary.cut(context, room)
        cuts.append(len(context) - len(kept))
        asked.append(Asked(question.id, kept, options))
    found = totals(scorer, asked, budget, progress)
    return [
        OptionScores(question, sums, tuple(map(len, one.options)), cut)
        for question, sums, one, cut in zip(questions, found, asked, cuts, strict=True)
    ]
