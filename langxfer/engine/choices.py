"""Log-probabilities of a question's options, and of passages, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from langxfer.components import OptionScores, Passage, PassageScore, Question
from langxfer.engine.encode import Encoder
from langxfer.engine.forward import Scorer


def score_questions(
    scorer: Scorer,
    encoder: Encoder,
    questions: Sequence[Question],
    budget: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[OptionScores]:
    """Scores in the order of the questions; ``progress`` gets how many are done."""
    found: list[OptionScores] = []
    for question in questions:
        text = encoder.template.prompt(question.context) if question.chat else question.context
        context = [*([] if question.chat else _bos(encoder)), *encoder.ids([text])[0]]
        options = encoder.ids(question.options)
        totals = tuple(_total(scorer, context, option) for option in options)
        found.append(OptionScores(question, totals, tuple(len(option) for option in options)))
        progress(len(found))
    return found


def score_passages(
    scorer: Scorer,
    encoder: Encoder,
    passages: Sequence[Passage],
    budget: int,
    progress: Callable[[int], None] = lambda done: None,
) -> list[PassageScore]:
    """Scores in the order of the passages; ``progress`` gets how many are done."""
    found: list[PassageScore] = []
    for passage in passages:
        ids = [*_bos(encoder), *encoder.ids([passage.text])[0]]
        found.append(PassageScore(passage, _total(scorer, ids[:1], ids[1:]), len(ids) - 1, len(passage.text.encode())))
        progress(len(found))
    return found


def _bos(encoder: Encoder) -> list[int]:
    bos = encoder.tokenizer.bos_token_id
    return [] if bos is None else [bos]


def _total(scorer: Scorer, context: list[int], rest: list[int]) -> float:
    ids = torch.tensor([context + rest], device=scorer.device)
    with torch.no_grad(), scorer.autocast():
        logits = scorer.model(input_ids=ids, use_cache=False).logits.float()
    scores = torch.log_softmax(logits[0, len(context) - 1 : -1], -1).gather(-1, ids[0, len(context) :, None])
    return scores.double().sum().item()
