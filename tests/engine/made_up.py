"""Examples of random token ids in wanted lengths."""

from __future__ import annotations

import random
from collections.abc import Sequence

from langxfer.data import Side, View
from langxfer.engine.encode import Encoded

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
