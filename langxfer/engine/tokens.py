"""How many tokens and attention pairs a pass computes, by part. Whole numbers from lengths alone; no torch.

A row is a prompt with the responses that share it: ``[prompt | response 1 | response 2]``. Layout ``tree``
has one row per prompt, ``flat`` one per view; both are packed without padding. ``padded`` has one row per
view too, and every row of a micro-batch is as long as the longest. The last token of a response predicts
nothing and is not fed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Literal

from langxfer.data import AnyView, Side

if TYPE_CHECKING:
    from langxfer.engine.encode import Encoded

Layout = Literal["tree", "flat", "padded"]
Row = tuple[int, tuple[int, ...]]  # tokens of the prompt, tokens of each response, the last one included


@dataclass(frozen=True)
class Tokens:
    """What a pass computes.

    Attributes:
        prompt: positions of prompts that go through the model's body; ``response`` and ``padding`` likewise.
        scored: positions at which the LM head predicts a response token. A prompt's last position counts once
            for every response that begins there.
        prompt_pairs: pairs (query, key) of attention whose query is in a prompt; ``response_pairs`` and
            ``padding_pairs`` likewise. A position looks at itself too.
    """

    prompt: int = 0
    response: int = 0
    padding: int = 0
    scored: int = 0
    prompt_pairs: int = 0
    response_pairs: int = 0
    padding_pairs: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: int) -> Tokens:
        return Tokens(*(times * value for value in astuple(self)))

    @property
    def computed(self) -> int:
        """Positions that go through the model's body, padding included."""
        return self.prompt + self.response + self.padding


def rows_of(example: Encoded, views: Iterable[AnyView], layout: Layout) -> list[Row]:
    """The rows that score ``views`` of one example."""
    if layout != "tree":
        return [(len(example.prompts[view.prompt]), (len(example.responses[view]),)) for view in sorted(views)]
    by_side: dict[Side, list[int]] = {}
    for view in sorted(views):
        by_side.setdefault(view.prompt, []).append(len(example.responses[view]))
    return [(len(example.prompts[side]), tuple(responses)) for side, responses in by_side.items()]


def of_rows(rows: Sequence[Row], width: int | None = None) -> Tokens:
    """Count rows, each by itself; with ``width``, each padded to that many tokens at its end."""
    prompt = response = padding = prompt_pairs = response_pairs = padding_pairs = 0
    scored = 0
    for start, responses in rows:
        fed = [max(length - 1, 0) for length in responses]
        own = sum(fed)
        prompt, response, scored = prompt + start, response + own, scored + sum(responses)
        prompt_pairs += _causal(start)
        response_pairs += sum(length * start + _causal(length) for length in fed)
        if width is not None:  # what pads a row looks at all before it, and nothing looks at it
            padding += width - start - own
            padding_pairs += _causal(width) - _causal(start + own)
    return Tokens(prompt, response, padding, scored, prompt_pairs, response_pairs, padding_pairs)


def count(
    examples: Sequence[Encoded],
    views: Iterable[AnyView],
    layout: Layout,
    micro_batches: Iterable[Sequence[Row]] | None = None,
) -> Tokens:
    """What one pass over the examples computes.

    ``micro_batches`` are the rows of each. They decide the padding of layout ``padded`` and nothing else; without
    them, padding is not counted.
    """
    if layout == "padded" and micro_batches is not None:
        return sum((of_rows(rows, longest(rows)) for rows in micro_batches), Tokens())
    rows: dict[int, list[Row]] = defaultdict(list)
    for example, times in repeated(examples):
        rows[times] += rows_of(example, views, layout)
    return sum((of_rows(own) * times for times, own in rows.items()), Tokens())


def repeated(examples: Sequence[Encoded]) -> list[tuple[Encoded, int]]:
    """Each example once, with how many times it is there: what is there many times is counted quickly."""
    times = Counter(map(id, examples))
    return [(example, times[key]) for key, example in {id(example): example for example in examples}.items()]


def longest(rows: Sequence[Row]) -> int:
    """Tokens of the longest row that are fed."""
    return max((start + sum(max(length - 1, 0) for length in responses) for start, responses in rows), default=0)


def _causal(length: int) -> int:
    """Pairs of ``length`` positions that look at themselves and at what is before them."""
    return length * (length + 1) // 2
