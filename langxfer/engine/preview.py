"""Real examples as the model will see them, and counts of what would be dropped or cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from langxfer.components import Pair
from langxfer.data import ParallelExample, View, read_examples, read_jsonl
from langxfer.engine import models, plan, sources, translate
from langxfer.engine.encode import Encoded, Encoder, Unusable
from langxfer.engine.stages import reasons
from langxfer.engine.store import Store
from langxfer.errors import DataError
from langxfer.recipe import Recipe
from langxfer.translation.pipeline import open_pipeline


@dataclass(frozen=True)
class Shown:
    """One example of one view: tokens as text, those of the response scored."""

    id: str
    view: View
    prompt: tuple[str, ...]
    response: tuple[str, ...]


@dataclass(frozen=True)
class Preview:
    """What ``langxfer preview`` prints.

    ``counted`` is how many training rows the counts are about: all of them for parallel data and
    for data translated before, the shown ones alone otherwise (translating is the run's work).
    """

    shown: list[Shown]
    counted: int
    usable: int
    cut: int
    dropped: dict[str, int]
    longest: int
    mean_response: float


def preview(
    recipe: Recipe, runs: Path, count: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Preview:
    """Encode the training examples (translating ``count`` rows where that was not done yet) and show the first ones."""
    encoder = Encoder(recipe.model, models.fetch(recipe.model))
    examples, lost, counted = _examples(recipe, runs, count, progress)
    kept: list[Encoded] = []
    cut = 0
    for item, was_cut in encoder.encode(examples, recipe.data.max_length, recipe.data.too_long):
        if isinstance(item, Unusable):
            lost.append(item.reason)
        else:
            kept.append(item)
            cut += was_cut
    if not kept:
        raise DataError(f"no example can be shown. Dropped: {reasons(lost)}.")
    views = sorted(set().union(*(phase.objective.views for phase in recipe.phases)))
    shown = [
        Shown(e.id, view, _tokens(encoder, e.prompts[view.prompt]), _tokens(encoder, e.responses[view]))
        for e in kept[:count]
        for view in views
    ]
    lengths = [len(e.responses[view]) for e in kept for view in views]
    longest = max(e.length(view) for e in kept for view in views)
    return Preview(shown, counted, len(kept), cut, reasons(lost), longest, sum(lengths) / len(lengths))


def _examples(
    recipe: Recipe, runs: Path, count: int, progress: Callable[[int, int], None]
) -> tuple[list, list[str], int]:
    data, translator = recipe.data, recipe.translator
    rows, rejected = sources.read(data)
    train, _ = sources.split(rows, data)
    lost = [item.reason for item in rejected]
    if translator is None:
        examples, dropped = _built(translate.build_examples(train, data, None, "parallel", progress))
        return examples, lost + dropped, len(train)
    made = plan.build(recipe)
    found = Store(runs / "artifacts").find("translate", made.translate.key)
    if found is not None:
        lost = [row["reason"] for row in read_jsonl(found.path / "dropped.jsonl")]
        return read_examples(found.path / "train.jsonl"), lost, len(train)
    some = train[:count]
    pairs = [Pair(data.source_language, tag) for tag in data.target_languages]
    with open_pipeline(translator, "cpu", models.cache_folder(), pairs) as pipeline:
        examples, dropped = _built(translate.build_examples(some, data, pipeline, translator.name, progress))
    return examples, lost + dropped, len(some)


def _built(results: Iterable[translate.Built]) -> tuple[list[ParallelExample], list[str]]:
    """Examples that are used, and why the others are not."""
    examples, lost = [], []
    for built in results:
        if built.example is not None and built.reason is None:
            examples.append(built.example)
        else:
            lost.append(built.reason or "")
    return examples, lost


def _tokens(encoder: Encoder, ids: list[int]) -> tuple[str, ...]:
    """The text that each token adds; a character spread over several tokens appears with its last one."""
    pieces: list[str] = []
    shown = ""
    for end in range(1, len(ids) + 1):
        text = encoder.tokenizer.decode(ids[:end])
        whole = text if end == len(ids) else text.rstrip("\ufffd")
        pieces.append(whole[len(shown) :])
        shown = whole if len(whole) > len(shown) else shown
    return tuple(pieces)
