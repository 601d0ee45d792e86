"""What the model makes of held-out answers: bits per byte, and whether it prefers the prompt's language."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from langxfer.components import Evaluation, Evaluator, Evidence, ResponseScore, Score
from langxfer.data import ParallelExample, Side, View
from langxfer.errors import DataError
from langxfer.signatures import digest, signature
from langxfer.statistics import mean, percentage, ratio

# A prompt's side -> the view that answers in its language, and the one that answers in the other.
PREFERENCES = {Side.SOURCE: (View.SS, View.ST), Side.TARGET: (View.TT, View.TS)}


@dataclass(frozen=True)
class _Item:
    """A distinct prompt with a response of each of the views that are compared."""

    example: str
    texts: tuple[str, ...]
    scores: tuple[ResponseScore, ...]


class HeldOut(Evaluator):
    """Likelihood of the validation examples' responses.

    ``held_out/bits_per_byte/TAG``: ``-sum(log p) / ln 2 / sum(bytes)`` over the responses in language TAG to prompts
    in TAG, lower is better. ``log p`` is of the response's tokens and its end; bytes are of its text alone, in UTF-8,
    so tokenizers can be compared, and languages only with care. Responses in another language than the prompt's
    (views ST and TS) are named ``…/RESPONSE-given-PROMPT``. The standard error is that of a ratio of sums over
    examples (delta method); None for a single example.

    ``held_out/margin/P-over-O``: for prompts in P, mean of ``log p(answer in P) - log p(the same answer in O)``, in
    nats, with standard error ``s / sqrt(n)``: the margins of equations 6 and 7 of CLO (arXiv 2505.14297) without
    reference and beta. Log-probabilities are sums, as in training, so a language that takes more tokens starts behind.
    ``held_out/preference_accuracy/P-over-O``: percentage of margins above 0; a margin of exactly 0 is no preference.

    With several target languages each has its own scores. What then occurs several times, the source answer to a
    source prompt, counts once. Examples with a response that ``data.too_long: cut`` cut are left out, as ``drop`` does,
    and counted in a note: a beginning has other bytes, and prompts of other lengths leave other beginnings.
    """

    name: Literal["held_out"] = "held_out"
    views: tuple[View, ...] = Field((View.SS, View.TT), description="Views measured in bits per byte.")
    margins: bool = Field(True, description="Measure preference margins and accuracies too (scores all four views).")

    @field_validator("views")
    @classmethod
    def _in_order(cls, views: tuple[View, ...]) -> tuple[View, ...]:
        """Equal sets of views give equal cache keys, so they are kept in one order."""
        if len(set(views)) < len(views):
            raise ValueError(f"a view is listed twice: {', '.join(view.value for view in views)}")
        return tuple(sorted(views))

    @model_validator(mode="after")
    def _measures_something(self) -> HeldOut:
        if not self.views and not self.margins:
            raise ValueError(
                "views is empty and margins is false, so nothing is measured. Give views, or remove held_out"
            )
        return self

    def scored_views(self) -> frozenset[View]:
        return frozenset(View) if self.margins else frozenset(self.views)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """Scores by language, and a row an example.

        Raises:
            DataError: there are no examples.
        """
        whole = [e for e in evidence.examples if not any(found.cut for found in evidence.responses[e.id].values())]
        lost, n = len(evidence.examples) - len(whole), len(evidence.examples)
        evidence = replace(evidence, examples=whole)
        if not evidence.examples:
            raise DataError(
                "held_out has no validation examples to score: set data.validation to a number of examples, "
                "or raise data.max_length if all of them were too long."
            )
        scores = [score for view in self.views for score in _bits_per_byte(view, evidence)]
        if self.margins:
            scores += [score for side in Side for score in _preferences(side, evidence)]
        added = self._added(evidence)
        rows = [self._row(e, evidence) | {"scores": added.get(e.id, {})} for e in evidence.examples]
        cut = f"held_out: {lost} of {n} examples are left out: their responses were cut to data.max_length tokens."
        return Evaluation(scores, rows, notes=[cut] if lost else [])

    def _added(self, evidence: Evidence) -> dict[str, dict[str, Any]]:
        """By example, what it adds to each score."""
        added: dict[str, dict[str, Any]] = {}
        for view in self.views:
            for (prompt, response), items in _grouped((view,), view.prompt, view.response, evidence).items():
                name = f"held_out/bits_per_byte/{_pair(prompt, response)}"
                for item in items:
                    added.setdefault(item.example, {})[name] = [_bits(item), item.scores[0].bytes]
        for side in Side if self.margins else ():
            own, other = PREFERENCES[side]
            for (prompt, rejected), items in _grouped((own, other), side, other.response, evidence).items():
                for item in items:
                    margin = _margin(*item.scores)
                    row, name = added.setdefault(item.example, {}), f"{prompt}-over-{rejected}"
                    row |= {f"held_out/margin/{name}": margin, f"held_out/preference_accuracy/{name}": int(margin > 0)}
        return added

    def _row(self, example: ParallelExample, evidence: Evidence) -> dict[str, Any]:
        found = evidence.responses[example.id]
        views = sorted(self.scored_views())
        row: dict[str, Any] = {
            "id": example.id,
            "source_language": example.source.language,
            "target_language": example.target.language,
            "nats": {view.value: -found[view].total for view in views},
            "tokens": {view.value: found[view].tokens for view in views},
            "bytes": {view.value: found[view].bytes for view in views},
        }
        if self.margins:
            row |= {f"margin_{side.value}": _margin(*(found[view] for view in PREFERENCES[side])) for side in Side}
        return row


def _bits_per_byte(view: View, evidence: Evidence) -> Iterator[Score]:
    for (prompt, response), items in _grouped((view,), view.prompt, view.response, evidence).items():
        bits = [_bits(item) for item in items]
        value, error = ratio(bits, [item.scores[0].bytes for item in items])
        name = _pair(prompt, response)
        text = _signature(items, {"view": view.value, "unit": "bits/byte", "se": "ratio"})
        yield Score(
            f"held_out/bits_per_byte/{name}", value, error, len(items), text, "bits/byte", higher_is_better=False
        )


def _preferences(side: Side, evidence: Evidence) -> Iterator[Score]:
    own, other = PREFERENCES[side]
    for (prompt, rejected), items in _grouped((own, other), side, other.response, evidence).items():
        margins = [_margin(*item.scores) for item in items]
        name, n = f"{prompt}-over-{rejected}", len(items)
        parts = {"views": f"{own.value}-{other.value}", "logp": "sum"}
        value, error = mean(margins)
        yield Score(f"held_out/margin/{name}", value, error, n, _signature(items, {**parts, "unit": "nats"}), "nats")
        value, error = percentage(sum(margin > 0 for margin in margins), n)
        yield Score(
            f"held_out/preference_accuracy/{name}", value, error, n, _signature(items, {**parts, "unit": "%"}), "%"
        )


def _pair(prompt: str, response: str) -> str:
    return response if prompt == response else f"{response}-given-{prompt}"


def _bits(item: _Item) -> float:
    return -item.scores[0].total / math.log(2)


def _margin(chosen: ResponseScore, rejected: ResponseScore) -> float:
    return chosen.total - rejected.total


def _grouped(
    views: tuple[View, ...], prompt: Side, response: Side, evidence: Evidence
) -> dict[tuple[str, str], list[_Item]]:
    """By the languages of the two sides, in order of appearance: items without repetition of their texts."""
    groups: dict[tuple[str, str], dict[tuple[str, ...], _Item]] = {}
    for example in evidence.examples:
        texts = (example.turn(prompt).prompt, *(example.turn(view.response).response for view in views))
        scores = tuple(evidence.responses[example.id][view] for view in views)
        languages = (example.turn(prompt).language, example.turn(response).language)
        groups.setdefault(languages, {}).setdefault(texts, _Item(example.id, texts, scores))
    return {languages: list(items.values()) for languages, items in groups.items()}


def _signature(items: Sequence[_Item], parts: dict[str, str]) -> str:
    return signature({"ev": "held_out", "n": len(items), **parts, "items": digest(item.texts for item in items)})
