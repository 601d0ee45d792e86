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


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"compute.threads": 8}, "compute.threads"),
        ({"quality.samples": 5}, "quality.samples"),
        ({"title": "another"}, "title"),
        ({"evaluators.0.limit": 10}, "evaluators.belebele.limit"),  # what it measures otherwise is not compared
    ],
)
def test_what_changes_no_score_is_apart(change, path):
    found = differences({}, change)
    assert not found.rows and path in {row.path for row in found.apart}
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
    found = {row.path: row.values for row in differences({}, {"evaluators": more}).apart}
    assert found.pop("title") and found == {"evaluators.held_out": ("–", {"name": "held_out", "margins": True})}


def test_another_split_is_not_other_content_of_the_same_name():
    identity = {"manifest.data.identity.sha256": "d1", "manifest.data.identity.split": "test"}
    found = differences({"data.split": "train"}, {"data.split": "test"} | identity)
    assert [row.path for row in found.rows] == ["data.split"] and not found.warnings


def test_libraries_and_devices_are_warnings():
    found = differences({}, SFT | {"manifest.versions.torch": "2.8", "manifest.hardware.device": "cuda"}, SFT)
    assert found.warnings == (
        "The models were made with other versions of torch: 2.7 (run0, run2), 2.8 (run1).",
        "The models were made with other devices: cpu (run0, run2), cuda (run1).",
    )
    assert found.of_objectives


def code(**digits: str) -> dict[str, object]:
    """A manifest's code by component, in a plugin file whose name tells nothing."""
    names = {name.replace("_", " "): own for name, own in digits.items()}
    return {"manifest.code": names, "manifest.plugins": [{"file": f"{'-'.join(digits.values())}.py", "sha256": "s"}]}


def test_the_code_of_a_component_is_told_from_another_whatever_its_file_is_called():
    found = differences(code(objective_apo="a"), code(objective_apo="b"))
    assert [(row.path, row.part, row.values) for row in found.rows] == [
        ("code of objective apo", "plugins", ("a", "b"))
    ]
    assert found.warnings == ("The models were made with other code of objective apo: a (run0), b (run1).",)
    assert differences(code(objective_apo="a"), SFT | code(objective_own="b")).of_objectives
    assert not differences(code(translator_x="a"), SFT | code(translator_x="b")).of_objectives
    measured = differences(code(evaluator_quiz="a"), SFT | code(evaluator_quiz="b"))
    assert measured.of_objectives and "other code of evaluator quiz: a (run0), b (run1)" in measured.warnings[0]


def test_a_run_whose_manifest_is_lost_is_not_taken_for_the_same():
    measured = {
        "model": {"weights": "w1", "trained": ["k"]},
        "versions": {},
        "hardware": {"device": "cpu"},
        "run": None,
    }
    own = finished("lost", {}, SFT, manifest=measured, kind="evaluation")
    found = differences({}, lost=own)
    assert found.parts == ("objective",) and not found.of_objectives and found.unsure == ("lost",)
    assert "lost: the manifest of the run is lost" in found.verdict
    assert "this is a comparison of objectives" not in found.verdict.replace("NOT known to be a comparison", "")
    equal = differences({}, lost=finished("lost", {}, manifest=measured, kind="evaluation"))
    assert "differ in nothing that affects results and is known." in equal.verdict


def stage(name: str, device: str, torch: str) -> dict[str, object]:
    artifact = "train/k" if name.startswith("train") else "evaluate/k"
    made = {"hardware": {"device": device}, "versions": {"torch": torch}}
    return {"stage": name, "artifact": artifact, "key": "k", **made}


def test_devices_and_versions_are_those_of_the_stages_and_not_of_the_last_invocation():
    on_cuda = {"manifest.stages": [stage("train[0] clo", "cuda", "2.8"), stage("evaluate after: quiz", "cpu", "2.7")]}
    again = {"manifest.stages": [stage("train[0] sft", "cpu", "2.7")], "manifest.hardware.device": "cuda"}
    found = differences(on_cuda, SFT | again)
    assert "The models were made with other devices: cuda (run0), cpu (run1)." in found.warnings
    assert "The models were made with other versions of torch: 2.8 (run0), 2.7 (run1)." in found.warnings
    both = [stage("train[0] sft", "cpu", "2.7"), stage("train[1] dpo", "cuda", "2.7")]
    (warning,) = differences({}, {"manifest.stages": both}).warnings
    assert warning == "The models were made with other devices: cpu (run0), cpu, then cuda (run1)."


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
