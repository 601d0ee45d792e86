"""The public API, pinned: a name that comes or goes is a decision, and shows in this file."""

from __future__ import annotations

import langxfer

PUBLIC = [
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


def test_all_is_pinned_and_sorted() -> None:
    assert langxfer.__all__ == PUBLIC
    assert sorted(PUBLIC) == PUBLIC


def test_every_name_is_there_and_documented() -> None:
    for name in langxfer.__all__:
        value = getattr(langxfer, name)
        assert name == "hookimpl" or (value.__doc__ or "").strip(), f"{name} has no docstring"
        assert name in dir(langxfer)


def test_another_name_is_an_attribute_error() -> None:
    assert not hasattr(langxfer, "Trainer")
