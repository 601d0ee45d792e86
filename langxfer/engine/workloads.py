"""What a run computes beside its phases, about: translation and evaluations. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from langxfer.components import Workload
from langxfer.engine import accounting
from langxfer.engine.accounting import Meter, Uncounted
from langxfer.engine.encode import Encoded
from langxfer.engine.known_models import Anatomy, translator_size
from langxfer.engine.tokens import of_rows
from langxfer.errors import LangxferError
from langxfer.recipe import Recipe

if TYPE_CHECKING:
    from langxfer.components import Translator

CHARACTERS_PER_TOKEN = 3.0  # between English (about 4) and languages a tokenizer knows badly (about 2)
SENTENCE = 25  # tokens of a segment of a translation
SEGMENTS = 80  # translated at a time: 2,048 tokens, the translators' default
BYTES = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Work:
    """A part of a run, as far as its time goes.

    Attributes:
        dtype: of the arithmetic, as in recipes.
        moved: bytes of weights that are read from memory, for each token of a generation again; 0 where arithmetic
            decides how long it takes.
        shared: among all devices; else one of them does it.
        attempts: how often it may be done at the most; the numbers are of once.
    """

    label: str
    flops: int
    dtype: str
    moved: int = 0
    shared: bool = True
    attempts: int = 1


@dataclass(frozen=True)
class NotCounted:
    """A part that cannot be estimated, and why."""

    label: str
    reason: str


def translation(translator: Translator, tokens: int) -> Work | NotCounted:
    """Of as many source tokens, into as many of the target language."""
    options = translator.model_dump()
    size = translator_size(str(options.get("model")))
    if size is None:
        return NotCounted("translate", f"the size of translator {translator.name} is not known")
    flops = 2 * tokens * (size.encoder + options.get("beam_size", 1) * size.decoder)
    steps = -(-tokens // (SENTENCE * SEGMENTS)) * SENTENCE
    return Work("translate", flops, "bfloat16", steps * BYTES["bfloat16"] * size.decoder, shared=False)


def evaluations(recipe: Recipe, found: Anatomy, validation: Sequence[Encoded]) -> Iterator[Work | NotCounted]:
    """Of the model before and after; answers are as long as they may be."""
    prompts = _prompts(recipe, validation)
    every = {view for evaluator in recipe.evaluators for view in evaluator.scored_views()}
    meter = accounting.meter(found.shapes, found.config, (), every, validation, "flat")
    for evaluator in recipe.evaluators:
        label = f"evaluate: {evaluator.name}"
        if isinstance(meter, Uncounted):
            yield NotCounted(label, meter.reason)
            continue
        try:
            asked = evaluator.workload(prompts)
        except LangxferError as error:  # a file that is not there
            yield NotCounted(label, str(error))
            continue
        if asked is None and not evaluator.scored_views():
            yield NotCounted(label, "it does not say how much it asks for")
            continue
        own = replace(meter, views=tuple(sorted(evaluator.scored_views())))
        yield _evaluation(label, recipe, own, asked or Workload(0, 0), validation)


def _prompts(recipe: Recipe, validation: Sequence[Encoded]) -> Mapping[str, int]:
    """Validation prompts by language; those in the source language are the same for all targets."""
    data = recipe.data
    rows = len(validation) // len(data.target_languages)
    return dict.fromkeys((data.source_language, *data.target_languages), rows)


def _evaluation(label: str, recipe: Recipe, meter: Meter, asked: Workload, validation: Sequence[Encoded]) -> Work:
    read = round(asked.characters / CHARACTERS_PER_TOKEN)
    tokens = of_rows([(read, (asked.max_new_tokens or 1,))]) * asked.requests
    flops = meter.scoring(tokens + meter.tokens(validation)).flops
    steps = -(-asked.requests // recipe.compute.prompts_per_batch) * asked.max_new_tokens
    weights = meter.size.body_size + meter.size.head_size
    dtype = recipe.model.dtype
    return Work(label, 2 * flops, dtype, 2 * steps * weights * BYTES[dtype], attempts=asked.attempts)
