"""The first plugin: what langxfer brings itself, registered through the same hooks as everybody's.

Components are imported inside the hooks, so that importing this package costs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from langxfer.hookspecs import hookimpl

if TYPE_CHECKING:
    from langxfer.components import Evaluator, Filter, Judge, Objective, Selector, Translator


@hookimpl
def register_translators() -> list[type[Translator]]:
    from langxfer.builtin.m2m100 import M2M100
    from langxfer.builtin.memory import Memory
    from langxfer.builtin.pivot import Pivot

    return [M2M100, Memory, Pivot]


@hookimpl
def register_filters() -> list[type[Filter]]:
    from langxfer.builtin import filters as own

    whole_texts = [own.Empty, own.Identical, own.Untranslated, own.LengthRatio, own.Repetition]
    return [*whole_texts, own.LanguageFilter, own.Alphanumeric, own.Preserved, own.LanguageTask]


@hookimpl
def register_objectives() -> list[type[Objective]]:
    from langxfer.builtin.objectives import Clo, Cpo, Dpo, Kto, Orpo, Sft

    return [Clo, Cpo, Dpo, Kto, Orpo, Sft]


@hookimpl
def register_selectors() -> list[type[Selector]]:
    from langxfer.builtin.lora import LoraSelector
    from langxfer.builtin.selectors import AttentionSelector, FullSelector, PatternSelector

    return [AttentionSelector, FullSelector, PatternSelector, LoraSelector]


@hookimpl
def register_evaluators() -> list[type[Evaluator]]:
    from langxfer.builtin.evaluators.alpaca_eval import AlpacaEval
    from langxfer.builtin.evaluators.belebele import Belebele
    from langxfer.builtin.evaluators.held_out import HeldOut
    from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
    from langxfer.builtin.evaluators.mmmlu import Mmmlu
    from langxfer.builtin.evaluators.perplexity import Perplexity
    from langxfer.builtin.evaluators.translation_quality import TranslationQuality

    return [LanguageFidelity, HeldOut, Belebele, Mmmlu, AlpacaEval, TranslationQuality, Perplexity]


@hookimpl
def register_judges() -> list[type[Judge]]:
    from langxfer.builtin.judges.local import Local
    from langxfer.builtin.judges.replay import Replay

    return [Local, Replay]


@hookimpl
def register_recipes() -> dict[str, Path]:
    from langxfer.builtin.recipes import recipes

    return recipes()
