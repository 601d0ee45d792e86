"""Log-probabilities of continuations: what questions and passages come down to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from langxfer.engine.branching import Ids, Sheet, sheets
from langxfer.engine.forward import Scorer, not_plain
from langxfer.engine.layout import Layout
from langxfer.engine.statistics import refuse_not_finite

FALLBACK_WINDOW = 2048  # tokens, for models that do not say how many they read
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """A context and options that may follow it, all of at least one token. ``id`` is named in errors."""

    id: str
    context: Ids
    options: tuple[Ids, ...]


@torch.no_grad()
def totals(scorer: Scorer, asked: Sequence[Asked], budget: int, progress: Progress) -> list[tuple[float, ...]]:
    """The options' log-probabilities, in nats summed over their tokens (in float64), in the order of ``asked``.

    Equal contexts are computed once. ``progress`` is told (done, all) of ``asked`` after every micro-batch.

    Raises:
        NotFinite: a log-probability is not a finite number; names the ids.
    """
    wanted: dict[Ids, dict[Ids, str]] = {}
    for one in asked:
        options = wanted.setdefault(one.context, {})
        for option in one.options:
            options.setdefault(option, one.id)
    contexts = [(context, list(options)) for context, options in wanted.items()]
    numbers = {context: number for number, context in enumerate(wanted)}
    owners = Counter(numbers[one.context] for one in asked)
    left = [len(options) for _, options in contexts]
    layout = _layout(scorer, asked)
    found: dict[tuple[int, Ids], float] = {}
    done = 0
    for trees in sheets(contexts, layout, budget):
        sheet = Sheet.of(trees, layout != "padded", scorer.device, scorer.multiple)
        names = [wanted[contexts[number][0]][option] for number, option in sheet.scored]
        sums = _sums(scorer, sheet)
        refuse_not_finite(names, sums.unbind(), "the log-probability of an option or a text")
        found.update(zip(sheet.scored, sums.tolist(), strict=True))
        for number, _ in sheet.scored:
            left[number] -= 1
            done += owners[number] if not left[number] else 0
        progress(done, len(asked))
    return [tuple(found[numbers[one.context], option] for option in one.options) for one in asked]


def _sums(scorer: Scorer, sheet: Sheet) -> torch.Tensor:
    with scorer.autocast():
        hidden = scorer.hidden(sheet.ids, sheet.positions, sheet.rows)[sheet.states]
    logps = scorer.head.continuations(hidden, sheet.owners, sheet.targets).double().cpu()
    return torch.stack([part.sum() for part in logps.split([len(option) for _, option in sheet.scored])])


def _layout(scorer: Scorer, asked: Sequence[Asked]) -> Layout:
    """The scorer's, unless something is too long for a sliding window that training fits into."""
    longest = max((len(one.context) + max(map(len, one.options)) for one in asked), default=0)
    return "padded" if not_plain(scorer.model.config.get_text_config(), longest) else scorer.layout


def window(scorer: Scorer) -> int:
    """Tokens that the model reads at a time."""
    return getattr(scorer.model.config.get_text_config(), "max_position_embeddings", None) or FALLBACK_WINDOW
