"""How prompts and responses are laid out for a forward pass, and which of them share one.

A row is one prompt with one or more branches (responses). ``padded`` and ``flat`` give every response a row of its
own, ``tree`` lets the responses of one prompt share it: [prompt | response 1 | response 2], where positions restart
after the prompt and a response sees the prompt and itself, never the other branch. ``padded`` puts rows below each
other, as long as the longest; ``flat`` and ``tree`` put them one after the other on one axis, without padding.
All three are exact: they give the same log-probabilities and gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from langxfer.data import AnyView
from langxfer.engine.attention import Rows
from langxfer.engine.encode import Encoded

Layout = Literal["tree", "flat", "padded"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Branch:
    """A response to score: which example and view it belongs to, and its ids."""

    example: int
    view: AnyView
    ids: list[int]

    @property
    def fed(self) -> list[int]:
        """What the model reads of it: all but the last token, which predicts nothing."""
        return self.ids[:-1]


@dataclass(frozen=True)
class Row:
    """A prompt and the responses that follow it; its length is in tokens that the model reads."""

    prompt: list[int]
    branches: tuple[Branch, ...]

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(branch.fed) for branch in self.branches)


@dataclass(frozen=True)
class Unit:
    """What must be in one micro-batch: some views of one example, and the rows that score them."""

    example: int
    views: tuple[AnyView, ...]
    rows: tuple[Row, ...]

    @property
    def tokens(self) -> int:
        return sum(map(len, self.rows))


@dataclass(frozen=True)
class Inputs:
    """What the model is given, and what is scored.

    Attributes:
        ids: ``[R, L]`` int64 (R = 1 when packed); what follows the end of a row is never seen and never scored.
        positions: ``[1, L]`` int64, or None for rows below each other.
        rows: where the rows lie on the axis when they are packed, else None.
        scored_from: ``[N]`` indices into the flattened ``[R * L]`` hidden states that predict the targets.
        targets: ``[N]`` the response tokens, branch after branch, in row order.
    """

    ids: Tensor
    positions: Tensor | None
    rows: Rows | None
    scored_from: Tensor
    targets: Tensor


def rows_of(example: int, encoded: Encoded, views: Sequence[AnyView], layout: Layout) -> tuple[Row, ...]:
    """The rows that score ``views`` of an example; branches say where their numbers belong."""
    by_prompt: dict[str, list[Branch]] = {}
    for view in sorted(views):
        share = view.value[0] if layout == "tree" else view.value
        by_prompt.setdefault(share, []).append(Branch(example, view, encoded.responses[view]))
    return tuple(Row(encoded.prompts[own[0].view.prompt], tuple(own)) for own in by_prompt.values())


def units_of(examples: Sequence[Encoded], views: Sequence[AnyView], layout: Layout, separate: bool) -> list[Unit]:
    """The units of all examples: one each, or with ``separate`` one for each language of the prompt."""
    groups = [tuple(sorted(views))]
    if separate:
        groups = [tuple(view for view in groups[0] if view.value[0] == side) for side in "ST"]
    return [
        Unit(number, group, rows_of(number, example, group, layout))
        for number, example in enumerate(examples)
        for group in groups
        if group
    ]


def micro_batches(units: Sequence[Unit], layout: Layout, budget: int) -> Iterator[list[Unit]]:
    """Groups of units within ``budget`` tokens, or as many as the longest unit has; the longest groups first.

    Padded rows are grouped with rows of their length, and padding counts. Packed rows fill groups up: the longest
    unit that is left goes where it fits first.
    """
    longest_first = sorted(units, key=lambda unit: (-unit.tokens, unit.example, unit.views))
    if layout == "padded":
        yield from _alike(longest_first, budget)
        return
    yield from first_fit(longest_first, [unit.tokens for unit in longest_first], budget)


def first_fit(items: Sequence[Item], sizes: Sequence[int], budget: int) -> list[list[Item]]:
    """Groups of items within ``budget``, or as much as the largest has; every item goes where it fits first."""
    room = max(budget, *sizes) if sizes else 0
    groups: list[list[Item]] = []
    left: list[int] = []
    for item, size in zip(items, sizes, strict=True):
        place = next((i for i, free in enumerate(left) if free >= size), None)
        if place is None:
            groups.append([])
            left.append(room)
            place = len(left) - 1
        groups[place].append(item)
        left[place] -= size
    return groups


def _alike(units: Sequence[Unit], budget: int) -> Iterator[list[Unit]]:
    group: list[Unit] = []
    for unit in units:
        if group and padded_tokens([row for own in (*group, unit) for row in own.rows]) > budget:
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def padded_tokens(rows: Sequence[Row]) -> int:
    """Tokens that a forward pass over rows below each other computes, padding included."""
    return len(rows) * max(map(len, rows), default=0)


def collate(rows: Sequence[Row], layout: Layout, device: torch.device | str = "cpu", multiple: int = 1) -> Inputs:
    """Tensors of the rows. A packed axis is filled up to a multiple of ``multiple`` tokens."""
    length = max(map(len, rows)) if layout == "padded" else sum(map(len, rows))
    length += -length % multiple if layout != "padded" else 0
    ids: list[int] = []
    positions: list[int] = []
    scored: list[int] = []
    targets: list[int] = []
    bounds: list[tuple[int, ...]] = []
    for number, row in enumerate(rows):
        if layout == "padded":
            ids += [0] * (number * length - len(ids))
        ends = [len(ids), len(ids) + len(row.prompt)]
        ids += row.prompt
        positions += range(len(row.prompt))
        for branch in row.branches:
            # The first token of every branch is predicted by the last token of the prompt.
            scored += [ends[1] - 1, *range(len(ids), len(ids) + len(branch.fed))][: len(branch.ids)]
            ids += branch.fed
            positions += range(len(row.prompt), len(row.prompt) + len(branch.fed))
            targets += branch.ids
            ends.append(len(ids))
        bounds.append(tuple(ends))
    shape = (len(rows), length) if layout == "padded" else (1, length)
    ids += [0] * (shape[0] * length - len(ids))
    positions += [0] * (length - len(positions))
    packed = layout != "padded"
    return Inputs(
        torch.tensor(ids).view(shape).to(device),
        torch.tensor(positions)[None].to(device) if packed else None,
        Rows(tuple(bounds), length, torch.device(device)) if packed else None,
        torch.tensor(scored, dtype=torch.long).to(device),
        torch.tensor(targets, dtype=torch.long).to(device),
    )
