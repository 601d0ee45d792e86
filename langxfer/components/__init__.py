"""Components: the words of the recipe language that plugins add.

A component IS a frozen pydantic model. Its fields are its options, its methods its behaviour.
There is no factory and no registry of callables. torch is imported inside methods only.
"""

from __future__ import annotations

from pydantic import InstanceOf, SerializeAsAny

from langxfer.components.component import Component, nested
from langxfer.components.evaluators import (
    Evaluation,
    Evaluator,
    Evidence,
    Generation,
    OptionScores,
    Passage,
    PassageScore,
    Prompt,
    Question,
    ResponseScore,
    Sampling,
    Score,
    Workload,
    numbered,
)
from langxfer.components.filters import Drop, Filter, OpenFilter
from langxfer.components.judges import Contest, Judge, OpenJudge, Verdict
from langxfer.components.objectives import Objective, Ratio, Term, Terms
from langxfer.components.selectors import Selector
from langxfer.components.translators import OpenTranslator, Pair, Translation, Translator

__all__ = [
    "KINDS",
    "AnyEvaluator",
    "AnyFilter",
    "AnyJudge",
    "AnyObjective",
    "AnySelector",
    "AnyTranslator",
    "Component",
    "Contest",
    "Drop",
    "Evaluation",
    "Evaluator",
    "Evidence",
    "Filter",
    "Generation",
    "Judge",
    "Objective",
    "OpenFilter",
    "OpenJudge",
    "OpenTranslator",
    "OptionScores",
    "Pair",
    "Passage",
    "PassageScore",
    "Prompt",
    "Question",
    "Ratio",
    "ResponseScore",
    "Sampling",
    "Score",
    "Selector",
    "Term",
    "Terms",
    "Translation",
    "Translator",
    "Verdict",
    "Workload",
    "nested",
    "numbered",
]

KINDS: tuple[type[Component], ...] = (Translator, Filter, Objective, Selector, Evaluator, Judge)

# In Python a recipe is open: any instance of the kind is welcome, and is saved with all its options.
AnyTranslator = SerializeAsAny[InstanceOf[Translator]]
AnyFilter = SerializeAsAny[InstanceOf[Filter]]
AnyObjective = SerializeAsAny[InstanceOf[Objective]]
AnySelector = SerializeAsAny[InstanceOf[Selector]]
AnyEvaluator = SerializeAsAny[InstanceOf[Evaluator]]
AnyJudge = SerializeAsAny[InstanceOf[Judge]]
