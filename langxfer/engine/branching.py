"""How contexts and their continuations share a forward pass: as sequences that branch off one another.

Contexts that begin alike (questions on one passage, the same few examples) are put in alphabetical order, and each is
written down from where it differs from the one before it. Options follow their context, and see it but not each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from langxfer.engine.attention import CHUNK, Rows, Sequenced, chunked
from langxfer.engine.layout import Layout, first_fit

SHARED = 16  # tokens that are worth sharing: for fewer, attention in more pieces costs more than it saves
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Leaf:
    """A context, some of its options, and how many of its tokens the leaf before it in the tree has computed.

    Attributes:
        number: of the context.
    """

    number: int
    context: Ids
    options: tuple[Ids, ...]
    shared: int = 0

    @cached_property
    def fed(self) -> list[Ids]:
        """What the model reads of the options: all but the last token, equal ones once. () only where it is all."""
        distinct = list(dict.fromkeys(option[:-1] for option in self.options))
        return [fed for fed in distinct if fed] or [()]

    @property
    def tokens(self) -> int:
        return len(self.context) - self.shared + sum(map(len, self.fed))

    def apart(self) -> list[Leaf]:
        """A leaf for each sequence: without any sharing but that of options which differ in their last token alone."""
        of: dict[Ids, list[Ids]] = {fed: [] for fed in self.fed}
        for option in self.options:
            of[option[:-1] or self.fed[0]].append(option)
        return [Leaf(self.number, self.context, tuple(options)) for options in of.values()]


Tree = list[Leaf]


def sheets(contexts: Sequence[tuple[Ids, Sequence[Ids]]], layout: Layout, budget: int) -> list[list[Tree]]:
    """Micro-batches of trees that score the options of distinct contexts, in at most ``budget`` tokens.

    A sequence that is longer counts, and what it can share: a tree may be twice as long as its first context.
    """
    leaves = [
        Leaf(number, context, part)
        for number, (context, options) in enumerate(contexts)
        for part in _parts(context, options, budget)
    ]
    if layout == "padded":
        rows = sorted((row for leaf in leaves for row in leaf.apart()), key=lambda row: (-row.tokens, row.number))
        return [[[row] for row in group] for group in _alike(rows, budget)]
    trees = [[row] for leaf in leaves for row in leaf.apart()] if layout == "flat" else _trees(leaves, budget)
    ordered = sorted(trees, key=lambda tree: (-_tokens(tree), tree[0].number))
    return first_fit(ordered, [_tokens(tree) for tree in ordered], budget)


def _parts(context: Ids, options: Sequence[Ids], budget: int) -> list[tuple[Ids, ...]]:
    """The options in parts that fit behind their context; those that are read alike stay together."""
    parts: list[list[Ids]] = []
    room, last = 0, None
    for option in sorted(options, key=lambda option: (option[:-1], option)):
        if option[:-1] != last:
            last = option[:-1]
            room -= len(last)
            if room < 0 or not parts:
                parts.append([])
                room = _limit(context, budget) - len(context) - len(last)
        parts[-1].append(option)
    return [tuple(part) for part in parts]


def _limit(context: Ids, budget: int) -> int:
    return max(budget, 2 * len(context))


def _tokens(tree: Tree) -> int:
    return sum(leaf.tokens for leaf in tree)


def _trees(leaves: Iterable[Leaf], budget: int) -> list[Tree]:
    trees: list[Tree] = []
    used = 0
    for leaf in sorted(leaves, key=lambda leaf: leaf.context):
        if trees:
            shared = common(trees[-1][-1].context, leaf.context)
            joined = Leaf(leaf.number, leaf.context, leaf.options, shared)
            if shared >= SHARED and used + joined.tokens <= _limit(trees[-1][0].context, budget):
                trees[-1].append(joined)
                used += joined.tokens
                continue
        trees.append([leaf])
        used = leaf.tokens
    return trees


def common(first: Ids, *others: Ids) -> int:
    """Tokens at the beginning of all of them."""
    differing = (place for place, tokens in enumerate(zip(first, *others, strict=False)) if len(set(tokens)) > 1)
    return next(differing, min(map(len, (first, *others))))


def _alike(rows: Sequence[Leaf], budget: int) -> list[list[Leaf]]:
    """Rows below each other, the longest first; padding counts."""
    groups: list[list[Leaf]] = []
    for row in rows:
        if not groups or (len(groups[-1]) + 1) * groups[-1][0].tokens > budget:
            groups.append([])
        groups[-1].append(row)
    return groups


@dataclass(frozen=True)
class Branched(Rows):
    """Sequences on one axis, each of which sees pieces of earlier ones, and itself causally."""

    sequences: tuple[Sequenced, ...] = ()

    @cached_property
    def _seen(self) -> tuple[Tensor, Tensor]:
        """``[length]`` numbers of the sequence of a token, and ``[sequences + 1, length]`` what it may see."""
        number = torch.full((self.length,), len(self.sequences))
        seen = torch.zeros(len(self.sequences) + 1, self.length, dtype=torch.bool)
        for place, (begin, end, before) in enumerate(self.sequences):
            number[begin:end] = place
            for piece in (*before, slice(begin, end)):
                seen[place, piece] = True
        return number.to(self.device), seen.to(self.device)

    def may_look(self, query: Tensor, key: Tensor) -> Tensor:
        """Whether a token looks at another: at itself, or at an earlier one that its sequence sees."""
        number, seen = self._seen
        return (seen[number[query], key] & (key <= query)) | (key == query)

    @cached_property
    def pieces(self) -> list[tuple[slice, list[slice]]]:
        return chunked(self.sequences, CHUNK)


@dataclass
class Sheet:
    """A micro-batch as the model reads it.

    Attributes:
        ids: ``[R, L]``; R = 1 when packed.
        positions, rows: as in ``layout.Inputs``.
        states: ``[N]`` indices of the hidden states that are scored, each once.
        owners: ``[M]`` numbers into ``states``, of the state that predicts a target.
        targets: ``[M]`` tokens of the options, one option after the other.
        scored: the number of its context and the option, in that order.
    """

    ids: Tensor
    positions: Tensor | None
    rows: Branched | None
    states: Tensor
    owners: Tensor
    targets: Tensor
    scored: list[tuple[int, Ids]]

    @classmethod
    def of(cls, trees: Sequence[Tree], packed: bool, device: torch.device, multiple: int) -> Sheet:
        """Trees after each other on one axis, a multiple of ``multiple`` tokens long, or rows below each other."""
        axis = _Axis()
        width = 0 if packed else max(map(_tokens, trees))
        for number, tree in enumerate(trees):
            if not packed:
                axis.fill(number * width)
            axis.add(tree)
        length = len(axis.ids) + -len(axis.ids) % multiple if packed else len(trees) * width
        axis.fill(length)
        states, owners = torch.tensor(axis.predicting).unique(return_inverse=True)
        return cls(
            torch.tensor(axis.ids).view(-1, length if packed else width).to(device),
            torch.tensor(axis.positions)[None].to(device) if packed else None,
            Branched((), length, device, tuple(axis.sequences)) if packed else None,
            states.to(device),
            owners.to(device),
            torch.tensor(axis.targets).to(device),
            axis.scored,
        )


@dataclass
class _Axis:
    """Where the tokens of trees come to lie."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    sequences: list[Sequenced] = field(default_factory=list)
    predicting: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    scored: list[tuple[int, Ids]] = field(default_factory=list)

    def fill(self, length: int) -> None:
        """Tokens that nobody sees, up to ``length``."""
        self.positions += [0] * (length - len(self.ids))
        self.ids += [0] * (length - len(self.ids))

    def add(self, tree: Tree) -> None:
        path: tuple[slice, ...] = ()
        for leaf in tree:
            before = _clipped(path, leaf.shared)
            own = self._put(leaf.context[leaf.shared :], leaf.shared)
            path = (*before, own) if own.stop > own.start else before
            places = [self._put(fed, len(leaf.context)) for fed in leaf.fed]
            bounds = [(place.start, place.stop, path) for place in places]
            if own.stop > own.start:  # a context and its first option are one causal sequence
                bounds[0] = own.start, places[0].stop, before
            self.sequences += [bound for bound in bounds if bound[1] > bound[0]]
            self._score(leaf, path[-1].stop - 1, dict(zip(leaf.fed, places, strict=True)))

    def _put(self, tokens: Ids, at: int) -> slice:
        start = len(self.ids)
        self.ids += tokens
        self.positions += range(at, at + len(tokens))
        return slice(start, len(self.ids))

    def _score(self, leaf: Leaf, end: int, places: dict[Ids, slice]) -> None:
        for option in leaf.options:
            place = places.get(option[:-1], slice(0, 0))
            self.predicting += [end, *range(place.start, place.stop)]
            self.targets += option
            self.scored.append((leaf.number, option))


def _clipped(path: Sequence[slice], length: int) -> tuple[slice, ...]:
    """The first ``length`` tokens of a path."""
    kept: list[slice] = []
    for piece in path:
        if length <= 0:
            break
        kept.append(slice(piece.start, min(piece.stop, piece.start + length)))
        length -= piece.stop - piece.start
    return tuple(kept)
