"""Scores of plain texts: the log-probability of every token of them, given those before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langxfer.components import Passage, PassageScore
from langxfer.engine.boundary import Boundary, Ids
from langxfer.engine.continuations import Asked, Progress, totals, window
from langxfer.engine.encode import CHUNK, Encoder
from langxfer.engine.forward import Scorer


def score_passages(
    scorer: Scorer, encoder: Encoder, passages: Sequence[Passage], budget: int, progress: Progress
) -> list[PassageScore]:
    """The passages' scores in order, in micro-batches of ``budget`` tokens; an empty text has no token and scores 0.

    The first token is scored too, after BOS (EOS for tokenizers without one). A text that is longer than the model's
    window is scored in windows. ``progress`` is told (done, all) passages.

    Raises:
        NotFinite: a log-probability is not a finite number; names the passages.
    """
    boundary, size = Boundary(encoder), window(scorer)
    ids = [
        own
        for begin in range(0, len(passages), CHUNK)
        for own in boundary.plain([passage.text for passage in passages[begin : begin + CHUNK]])
    ]
    pieces = [list(windows(own, boundary.start, size)) for own in ids]
    asked = [
        Asked(passage.id, context, (part,))
        for passage, own in zip(passages, pieces, strict=True)
        for context, part in own
    ]
    found = iter(
        totals(scorer, asked, budget, lambda done, all_: progress(done * len(passages) // all_, len(passages)))
    )
    return [
        PassageScore(passage, sum(next(found)[0] for _ in own), len(tokens), len(passage.text.encode()))
        for passage, own, tokens in zip(passages, pieces, ids, strict=True)
    ]


def windows(ids: Ids, start: int, size: int) -> Iterator[tuple[Ids, Ids]]:
    """Contexts and what is scored after them, so that every token is scored once and ``size`` are read at the most.

    As in lm-eval: windows follow each other, and the last one, shorter, has as much context as there is room for.
    """
    if ids:
        yield (start,), ids[:size]
    for begin in range(size, len(ids), size):
        end = min(begin + size, len(ids))
        yield ids[end - size - 1 : begin], ids[begin:end]
