"""Examples of random token ids in wanted lengths."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from langxfer.data import AnyView, Side, View
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer, token_counts
from langxfer.logps import LogProbs

VOCABULARY = 261  # of the tiny models


def made_up(sizes: Sequence[tuple[int, int, int, int]], seed: int = 0) -> list[Encoded]:
    """Random ids; sizes are (source prompt, target prompt, source response, target response)."""
    numbers = random.Random(seed)

    def ids(count: int) -> list[int]:
        return [numbers.randrange(5, VOCABULARY) for _ in range(count)]

    examples: list[Encoded] = []
    for place, (source, target, first, second) in enumerate(sizes):
        prompts = {Side.SOURCE: ids(source), Side.TARGET: ids(target)}
        answers = {Side.SOURCE: ids(first), Side.TARGET: ids(second)}
        responses = {view: answers[view.response] for view in View}
        examples.append(Encoded(f"{place}/de", prompts, responses, {side: 1 for side in Side}))
    return examples


def log_probs(scorer: Scorer, examples: Sequence[Encoded], views: Sequence[AnyView]) -> LogProbs:
    """Totals ``[B]`` of the views, in one forward pass."""
    found = {(number, view): scores.sum() for number, view, scores in scorer.score(scorer.units(examples, views))}
    total = {view: torch.stack([found[number, view] for number in range(len(examples))]) for view in views}
    return LogProbs(total, token_counts(examples, views))
