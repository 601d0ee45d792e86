"""What the engine relies on in translators, selectors and filters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from langxfer.components import (
    Drop,
    Filter,
    Pair,
    Selector,
    Translation,
    Translator,
)
from langxfer.data import ParallelExample, Turn
from langxfer.languages import check_language
from langxfer.testing.adapters import check_adapting
from langxfer.testing.contracts import check_component, require
from langxfer.testing.fakes import parallel_examples

SEGMENTS = (
    "Good morning.",
    "How many planets are there?",
    "Water boils at one hundred degrees.",
    "Yes",
    "Good morning.",
)


def check_translator(
    translator: Translator, pair: Pair | None = None, segments: Sequence[str] = SEGMENTS, device: str = "cpu"
) -> None:
    """Open it and translate: one answer for each segment, in order, whatever their order; nothing out of nothing.

    ``pair`` is needed where ``languages()`` does not tell two languages that the translator can translate between.
    """
    check_component(translator, Translator)
    tags = translator.languages()
    for tag in tags or ():
        check_language(tag)
    if pair is None:
        require(tags and len(tags) > 1, "languages() names no two languages: give check_translator a pair")
        pair = Pair(*(["en", min(tags - {"en"})] if "en" in tags else sorted(tags)[:2]))
    backward = list(reversed(segments))
    with TemporaryDirectory() as cache, translator.open(device, Path(cache)) as opened:
        require(opened.translate([], pair) == [], "no segments must give no translations")
        first = opened.translate(list(segments), pair)
        require(isinstance(first, list), f"translate gives {type(first).__name__}; expected a list")
        require(len(first) == len(segments), f"{len(first)} translations of {len(segments)} segments")
        wrong = [answer for answer in first if not isinstance(answer, str | Translation | None)]
        require(not wrong, f"{wrong[:1]} is no translation; expected a text, a Translation or None")
        second = opened.translate(backward, pair)
        require(
            second == list(reversed(first)), "segments in another order give other translations, or in another order"
        )
        blank = opened.translate(["", "  "], pair)
        texts = [answer.text if isinstance(answer, Translation) else answer for answer in blank]
        require(len(texts) == 2 and not any((text or "").strip() for text in texts), f"blank segments became {texts}")


LLAMA = {
    "model.embed_tokens.weight": (64, 8),
    "model.layers.0.self_attn.q_proj.weight": (8, 8),
    "model.layers.0.self_attn.q_proj.bias": (8,),
    "model.layers.0.self_attn.o_proj.weight": (8, 8),
    "model.layers.0.mlp.down_proj.weight": (8, 16),
    "model.layers.0.input_layernorm.weight": (8,),
    "model.norm.weight": (8,),
    "lm_head.weight": (64, 8),
}


def check_selector(selector: Selector, shapes: Mapping[str, tuple[int, ...]] = LLAMA) -> None:
    """It chooses some of a model's parameters (a small Llama's by default), whatever their order.

    One that adds parameters is tried out on a tiny Llama too: outputs at the start, seeds, names, and the result.
    """
    check_component(selector, Selector)
    after = selector.adapted(dict(shapes))
    names = selector.select(dict(after))
    require(isinstance(names, frozenset), f"select gives {type(names).__name__}; expected a frozenset")
    require(names, "select chooses nothing")
    unknown = sorted(map(str, names - after.keys()))
    require(not unknown, f"select chooses {', '.join(unknown)}, which the model does not have")
    backward = selector.adapted(dict(reversed(list(shapes.items()))))
    require(backward == after, "adapted depends on the order of parameters")
    require(
        selector.select(dict(reversed(list(after.items())))) == names, "the choice depends on the order of parameters"
    )
    if type(selector).adapt is not Selector.adapt or after != dict(shapes):
        check_adapting(selector)


def _odd_examples() -> list[ParallelExample]:
    texts = ("", " ", "a", "한국어 문장 😀", "مرحبا", "```\ncode\n```", "word " * 400, "Ọjọ́ dára\u0301", "1\x00 2")
    return [
        ParallelExample(f"odd-{i}/ko", Turn(text or "?", text, "en"), Turn(text[::-1] or "?", texts[i - 1], "ko"))
        for i, text in enumerate(texts)
    ]


def check_filter(filter_: Filter, examples: Sequence[ParallelExample] = ()) -> None:
    """It judges any example, odd texts included, each by itself; give ``examples`` to add your own."""
    check_component(filter_, Filter)
    every = [*examples, *parallel_examples(), *_odd_examples()]
    verdicts = [filter_.judge(example) for example in every]
    for example, verdict in zip(every, verdicts, strict=True):
        require(
            verdict is None or isinstance(verdict, Drop),
            f"judge gives {verdict!r} for {example}; expected Drop or None",
        )
        if verdict is not None:
            short = verdict.reason.strip() and "\n" not in verdict.reason and len(verdict.reason) <= 80
            require(short, f"reason {verdict.reason!r}: expected a short line, the same for all examples of its kind")
            require(math.isfinite(verdict.measure), f"measure is {verdict.measure} for {example}")
    again = [filter_.judge(example) for example in reversed(every)]
    require(again == verdicts[::-1], "a verdict depends on other examples, or changes when it is asked again")
    with TemporaryDirectory() as folder, filter_.open("cpu", Path(folder)) as judge_all:
        require(list(judge_all(every)) == verdicts, "what open gives judges otherwise than judge, or not every example")
        require(list(judge_all([])) == [], "what open gives has verdicts on no examples")
