"""How prompts and responses are laid out as rows of a forward pass.

A row is one prompt with one or more branches (responses). ``padded`` gives every response a row
of its own; ``tree`` lets the responses of one prompt share it: [prompt | response 1 | response 2],
where positions restart after the prompt and a response sees the prompt and itself, never the other
branch. Both are exact: they give the same log-probabilities and gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from langxfer.data import View
from langxfer.engine.encode import Encoded

Layout = Literal["tree", "padded"]


@dataclass(frozen=True)
class Branch:
    """A response to score: which example and view it belongs to, and its ids."""

    example: int
    view: View
    ids: list[int]


@dataclass(frozen=True)
class Row:
    """A prompt and the responses that follow it."""

    prompt: list[int]
    branches: tuple[Branch, ...]

    def __len__(self) -> int:
        return len(self.prompt) + sum(len(branch.ids) for branch in self.branches)


@dataclass(frozen=True)
class Inputs:
    """What the model is given, and what is scored.

    Attributes:
        ids: ``[R, L]`` int64; what follows a row's end is never seen and never scored.
        positions: ``[R, L]`` int64, or None for plain causal rows.
        mask: ``[R, 1, L, L]`` bool (True = may look), or None for plain causal rows.
        scored_from: ``[N]`` indices into the flattened ``[R * L]`` hidden states that predict the targets.
        targets: ``[N]`` the response tokens, branch after branch, in row order.
    """

    ids: Tensor
    positions: Tensor | None
    mask: Tensor | None
    scored_from: Tensor
    targets: Tensor


def rows_of(examples: Sequence[Encoded], views: Sequence[View], layout: Layout) -> list[Row]:
    """The rows that score ``views`` of the examples; branches say where their numbers belong."""
    rows: list[Row] = []
    for number, example in enumerate(examples):
        by_prompt: dict[str, list[Branch]] = {}
        for view in sorted(views):
            share = view.value[0] if layout == "tree" else view.value
            by_prompt.setdefault(share, []).append(Branch(number, view, example.responses[view]))
        rows += [Row(example.prompts[branches[0].view.prompt], tuple(branches)) for branches in by_prompt.values()]
    return rows


def padded_tokens(rows: Sequence[Row]) -> int:
    """Tokens that a forward pass over the rows computes, padding included."""
    return len(rows) * max(map(len, rows), default=0)


def collate(rows: Sequence[Row], device: torch.device | str = "cpu") -> Inputs:
    """Right-pad the rows. Plain causal attention needs no mask: nothing looks at what follows it."""
    length = max(map(len, rows))
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    scored: list[Tensor] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        tokens = [*row.prompt, *(token for branch in row.branches for token in branch.ids)]
        ids[number, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
        start = len(row.prompt)
        for branch in row.branches:
            # The first token of every branch is predicted by the last token of the prompt.
            own = torch.arange(start - 1, start - 1 + len(branch.ids))
            if len(own):
                own[0] = len(row.prompt) - 1
            scored.append(number * length + own)
            targets += branch.ids
            start += len(branch.ids)
    positions, mask = _tree_geometry(rows, length) if any(len(row.branches) > 1 for row in rows) else (None, None)
    return Inputs(
        ids.to(device),
        None if positions is None else positions.to(device),
        None if mask is None else mask.to(device),
        torch.cat(scored).to(device),
        torch.tensor(targets, dtype=torch.long, device=device),
    )


def _tree_geometry(rows: Sequence[Row], length: int) -> tuple[Tensor, Tensor]:
    positions = torch.zeros(len(rows), length, dtype=torch.long)
    branch_of = torch.zeros(len(rows), length, dtype=torch.long)  # 0: prompt, 1..: branches, -1: padding
    for number, row in enumerate(rows):
        start = len(row.prompt)
        positions[number, :start] = torch.arange(start)
        for index, branch in enumerate(row.branches, 1):
            end = start + len(branch.ids)
            positions[number, start:end] = torch.arange(len(row.prompt), len(row.prompt) + len(branch.ids))
            branch_of[number, start:end] = index
            start = end
        branch_of[number, start:] = -1
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same = branch_of[:, :, None] == branch_of[:, None, :]
    on_prompt = (branch_of == 0)[:, None, :] & (branch_of >= 0)[:, :, None]
    return positions, (causal & (same | on_prompt))[:, None]
