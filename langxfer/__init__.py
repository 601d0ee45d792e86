"""langxfer: multilingual adaptation of language models as recipes, plugins and cached stages.

The names below are the public API; everything else may change. What needs torch is imported when
it is first used, so ``import langxfer`` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langxfer.components import (
        Component,
        Contest,
        Drop,
        Evaluation,
        Evaluator,
        Evidence,
        Filter,
        Generation,
        Judge,
        Objective,
        OpenJudge,
        OpenTranslator,
        OptionScores,
        Pair,
        Passage,
        PassageScore,
        Prompt,
        Question,
        Ratio,
        ResponseScore,
        Sampling,
        Score,
        Selector,
        Term,
        Terms,
        Translation,
        Translator,
        Verdict,
        Workload,
    )
    from langxfer.data import MismatchedView, ParallelExample, Side, Turn, View
    from langxfer.engine.evaluation_job import Evaluated
    from langxfer.engine.plan import build as plan
    from langxfer.engine.run import Run, run
    from langxfer.engine.sweep import sweep
    from langxfer.errors import (
        ArtifactError,
        DataError,
        LangxferError,
        PluginError,
        RecipeError,
        StageError,
    )
    from langxfer.evaluating import evaluate
    from langxfer.events import Event
    from langxfer.hookspecs import hookimpl
    from langxfer.loading import load_recipe
    from langxfer.logps import LogProbs
    from langxfer.plugins import load as load_plugins
    from langxfer.recipe import Compute, Data, Model, Phase, Recipe, Training
    from langxfer.report.compare_runs import compare_runs
    from langxfer.report.html.writing import write_report
    from langxfer.report.methods import ComparedRuns
    from langxfer.sweep_loading import load_sweep
    from langxfer.sweeps import Point, Sweep

_HOMES: dict[str, tuple[str, str]] = {
    **{
        name: ("langxfer.components", name)
        for name in (
            *("Component", "Contest", "Drop", "Evaluation", "Evaluator", "Evidence", "Filter"),
            *("Generation", "Judge", "Objective", "OpenJudge", "OpenTranslator", "OptionScores", "Pair"),
            *("Passage", "PassageScore", "Prompt", "Question", "Ratio", "ResponseScore", "Sampling"),
            *("Score", "Selector", "Term", "Terms", "Translation", "Translator", "Verdict", "Workload"),
        )
    },
    **{name: ("langxfer.data", name) for name in ("MismatchedView", "ParallelExample", "Side", "Turn", "View")},
    **{
        name: ("langxfer.errors", name)
        for name in ("ArtifactError", "DataError", "LangxferError", "PluginError", "RecipeError", "StageError")
    },
    **{name: ("langxfer.sweeps", name) for name in ("Point", "Sweep")},
    **{name: ("langxfer.recipe", name) for name in ("Compute", "Data", "Model", "Phase", "Recipe", "Training")},
    "ComparedRuns": ("langxfer.report.methods", "ComparedRuns"),
    "Evaluated": ("langxfer.engine.evaluation_job", "Evaluated"),
    "Event": ("langxfer.events", "Event"),
    "LogProbs": ("langxfer.logps", "LogProbs"),
    "Run": ("langxfer.engine.run", "Run"),
    "compare_runs": ("langxfer.report.compare_runs", "compare_runs"),
    "evaluate": ("langxfer.evaluating", "evaluate"),
    "hookimpl": ("langxfer.hookspecs", "hookimpl"),
    "load_plugins": ("langxfer.plugins", "load"),
    "load_recipe": ("langxfer.loading", "load_recipe"),
    "load_sweep": ("langxfer.sweep_loading", "load_sweep"),
    "plan": ("langxfer.engine.plan", "build"),
    "run": ("langxfer.engine.run", "run"),
    "sweep": ("langxfer.engine.sweep", "sweep"),
    "write_report": ("langxfer.report.html.writing", "write_report"),
}

__all__ = [
    "ArtifactError",
    "ComparedRuns",
    "Component",
    "Compute",
    "Contest",
    "Data",
    "DataError",
    "Drop",
    "Evaluated",
    "Evaluation",
    "Evaluator",
    "Event",
    "Evidence",
    "Filter",
    "Generation",
    "Judge",
    "LangxferError",
    "LogProbs",
    "MismatchedView",
    "Model",
    "Objective",
    "OpenJudge",
    "OpenTranslator",
    "OptionScores",
    "Pair",
    "ParallelExample",
    "Passage",
    "PassageScore",
    "Phase",
    "PluginError",
    "Point",
    "Prompt",
    "Question",
    "Ratio",
    "Recipe",
    "RecipeError",
    "ResponseScore",
    "Run",
    "Sampling",
    "Score",
    "Selector",
    "Side",
    "StageError",
    "Sweep",
    "Term",
    "Terms",
    "Training",
    "Translation",
    "Translator",
    "Turn",
    "Verdict",
    "View",
    "Workload",
    "compare_runs",
    "evaluate",
    "hookimpl",
    "load_plugins",
    "load_recipe",
    "load_sweep",
    "plan",
    "run",
    "sweep",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
