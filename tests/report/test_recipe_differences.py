"""What is called a comparison of objectives is one."""

from __future__ import annotations

import pytest

from langxfer.report.recipe_differences import RecipeDifferences, recipe_differences
from tests.report.finished_values import finished

SFT = {"phases.0.objective": {"name": "sft", "views": ["TT"]}}


def differences(*changes, **others) -> RecipeDifferences:
    runs = [finished(f"run{number}", {}, own) for number, own in enumerate(changes)]
    return recipe_differences({**{run.title: run for run in runs}, **others})


def test_objectives_alone_are_a_comparison_of_objectives():
    found = differences({}, SFT)
    rows = {row.path: row.values for row in found.rows}
    assert rows["phases[0].objective.name"] == ("clo", "sft")
    assert rows["phases[0].objective.beta"] == (0.1, "–")
    assert rows["phases[0].objective.views"] == ("–", ["TT"])
    assert found.parts == ("objective",) and found.of_objectives
    assert found.verdict == "The recipes differ in the objective only: this is a comparison of objectives."
    assert [row.path for row in found.apart] == ["title"]


@pytest.mark.parametrize(
    ("change", "part", "path"),
    [
        ({"data.limit": 200}, "data", "data.limit"),
        ({"model.source": "org/other", "manifest.model.weights": "w2"}, "model", "model.source"),
        ({"phases.0.selector": {"name": "full"}}, "selector", "phases[0].selector.name"),
        ({"phases.0.training.learning_rate": 1e-4}, "training", "phases[0].training.learning_rate"),
        ({"translator": None}, "translator", "translator"),
        ({"evaluators.0.limit": 10}, "evaluators", "evaluators.belebele.limit"),
        ({"phases": []}, "number of phases", "phases[0]"),
        ({"manifest.model.weights": "w2"}, "model", "model.source (content)"),
        ({"manifest.data.identity.sha256": "d2"}, "data", "data.source (content)"),
    ],
)
def test_anything_else_is_not(change, part, path):
    alone, with_objective = differences({}, change), differences({}, SFT | change)
    for found in (alone, with_objective):
        assert part in found.parts and not found.of_objectives
        assert path in found.verdict and "NOT a comparison of objectives" in found.verdict
    assert f"The recipes differ in {part} only ({path})" in alone.verdict
    if part != "number of phases":
        assert set(with_objective.parts) == {"objective", part}


@pytest.mark.parametrize("change", [{"compute.threads": 8}, {"quality.samples": 5}, {"title": "another"}])
def test_what_changes_no_score_is_apart(change):
    found = differences({}, change)
    assert not found.rows and set(change) <= {row.path for row in found.apart}
    assert found.verdict == "The recipes differ in nothing that affects results."


def test_the_same_bytes_from_elsewhere_are_no_difference_and_other_bytes_of_one_name_are():
    moved = differences({}, SFT | {"data.source": "elsewhere/rows.jsonl"})
    assert moved.of_objectives and "data.source" in {row.path for row in moved.apart}
    other = differences({}, SFT | {"manifest.data.identity.sha256": "d2"})
    (warning,) = other.warnings
    assert "data.source has the same name everywhere, but other content" in warning and "d2" in warning
    unknown = differences({"manifest.data.identity": {}}, {"data.source": "elsewhere", "manifest.data.identity": {}})
    assert unknown.parts == ("data",)


def test_one_more_evaluator_is_one_difference():
    more = [{"name": "held_out", "margins": True}, {"name": "belebele", "limit": 20}]
    assert {row.path: row.values for row in differences({}, {"evaluators": more}).rows} == {
        "evaluators.held_out": ("–", {"name": "held_out", "margins": True})
    }


def test_libraries_and_devices_are_warnings():
    found = differences({}, SFT | {"manifest.versions.torch": "2.8", "manifest.hardware.device": "cuda"}, SFT)
    assert found.warnings == (
        "The models were made with other versions of torch: 2.7 (run0, run2), 2.8 (run1).",
        "The models were made with other devices: cpu (run0, run2), cuda (run1).",
    )
    assert found.of_objectives


def test_other_plugin_code_and_other_translations_of_one_recipe_are_differences():
    found = differences(
        *(
            {"manifest.plugins": [{"file": "own.py", "sha256": sha}, {"file": f"{sha}.py", "sha256": sha}]}
            for sha in "ab"
        )
    )
    assert [(row.path, row.part, row.values) for row in found.rows] == [("code in own.py", "plugins", ("a", "b"))]
    assert found.warnings == ("The models were made with other code in own.py: a (run0), b (run1).",)
    one, other = ({"manifest.stages": [{"stage": "translate", "key": key * 20}]} for key in "xy")
    found = differences(one, SFT | other)
    assert not found.of_objectives and "translated data (content)" in found.verdict
    assert differences(one, SFT | one).of_objectives
    explained = differences(one, other | {"data.limit": 200})
    assert [row.path for row in explained.rows] == ["data.limit"]
    unknown = differences(one, SFT | {"manifest.stages": []})
    assert unknown.of_objectives


def test_a_model_without_a_recipe_is_unknown_unless_it_is_where_the_others_start():
    weights = {"weights": "w1", "tokenizer": "t1", "trained": []}
    common = {"after": {}, "recipe": None, "kind": "evaluation"}
    base = finished("base", changes={"manifest.model": weights}, **common)
    found = differences({}, SFT, base=base)
    assert found.of_objectives and found.verdict.endswith("base: the model before training.")
    other = finished("other", changes={"manifest.model": weights | {"weights": "w9"}}, **common)
    found = differences({}, SFT, other=other)
    assert not found.of_objectives and "other: measured without a recipe" in found.verdict
    assert "this is a comparison of objectives" not in found.verdict


def test_an_evaluation_of_a_run_has_the_runs_recipe_and_what_it_was_made_with():
    run = finished("run1", {}, SFT | {"manifest.data.identity.sha256": "d2"})
    measured = {"model": {"weights": "w1", "trained": ["k"]}, "versions": {"torch": "2.9"}, "run": run.manifest}
    own = finished("measured", {}, SFT, manifest=measured | {"hardware": {"device": "cpu"}}, kind="evaluation")
    found = differences({}, measured=own)
    assert found.parts == ("objective", "data") and not found.unknown
    assert "The models were measured with other versions of torch: 2.7 (run0), 2.9 (measured)." in found.warnings
