"""Points of sweeps from the command line and from files, and everything that can be wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from langxfer.errors import RecipeError
from langxfer.loading import load_recipe
from langxfer.plugins import Catalog
from langxfer.sweep_loading import load_sweep
from langxfer.sweeps import Sweep
from tests.loading.texts import VALID

FILE = """\
title: sizes
recipe: r.yaml
set:
  phases[0].objective.beta: 0.3
grid:
  data.limit: [200, 400]
  seed: [1, 2]
"""


@pytest.fixture
def load(tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Sweep]:
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(VALID)

    def do(overrides: Sequence[str] = (), text: str | None = None) -> Sweep:
        if text is not None:
            Path("s.yaml").write_text(text)
        return load_sweep("r.yaml" if text is None else "s.yaml", catalog, overrides)

    return do


@pytest.fixture
def problems(load: Callable[..., Sweep]) -> Callable[..., list[str]]:
    def do(overrides: Sequence[str] = (), text: str | None = None) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(overrides, text)
        return list(caught.value.problems)

    return do


def test_the_grid_is_the_product_and_the_last_setting_changes_first(load):
    given = ["data.limit=200,400", "phases[0].objective=clo,{name: sft, views: [TT]}", "seed=1,2"]
    found = load([*given, "data.validation=3"])
    assert found.title == "a test" and len(found.points) == 8
    assert [own.settings["seed"] for own in found.points] == [1, 2] * 4
    assert [own.settings["data.limit"] for own in found.points] == [200] * 4 + [400] * 4
    last = found.points[-1]
    assert last.settings == {"data.limit": 400, "phases[0].objective": {"name": "sft", "views": ["TT"]}, "seed": 2}
    assert (last.recipe.data.limit, last.recipe.data.validation, last.recipe.data.seed) == (400, 3, 0)
    assert last.recipe.phases[0].objective.name == "sft" and last.recipe.phases[0].training.seed == 2


def test_a_path_is_as_good_as_a_text(load, catalog):
    assert load_sweep(Path("r.yaml"), catalog) == load()
    assert load_sweep("r.yaml", catalog, "seed=1,2") == load_sweep("r.yaml", catalog, ["seed=1,2"])
    by_file = load(text=FILE)
    assert load_sweep(Path("s.yaml"), catalog) == by_file
    for absent in ("none.yaml", Path("none.yaml")):
        with pytest.raises(RecipeError, match=r"none\.yaml is neither a file nor the name"):
            load_sweep(absent, catalog)
        with pytest.raises(RecipeError, match=r"none\.yaml is neither a file nor the name"):
            load_recipe(absent, catalog)


def test_seed_is_that_of_every_phase(load):
    two = "phases=[{objective: sft, selector: full}, {objective: dpo, selector: full}]"
    found = load([two, "seed=5,6"])
    assert [[phase.training.seed for phase in own.recipe.phases] for own in found.points] == [[5, 5], [6, 6]]


def test_a_point_is_repeated_by_run_with_its_overrides(load, catalog):
    from langxfer.loading import load_recipe

    for own in load(["title='a, b',c", "phases[0].objective.lambda=0.125,1e-3", "seed=1,2"]).points:
        assert load_recipe("r.yaml", catalog, own.overrides).recipe == own.recipe


def test_a_point_names_a_recipe_that_can_be_run_from_anywhere(load, catalog, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "r.yaml").write_text(VALID)
    (tmp_path / "s.yaml").write_text(
        "points: [{name: a, recipe: r.yaml}, {name: b, recipe: other/r.yaml}, {name: c, recipe: clo}]\n"
    )
    found = [*load().points, *load_sweep("s.yaml", catalog).points]
    monkeypatch.chdir(tmp_path / "other")
    paths = [str(tmp_path / name) for name in ("r.yaml", "r.yaml", "other/r.yaml")]
    assert [own.file for own in found] == [*paths, "clo"]
    assert all(load_recipe(own.file, catalog, own.overrides).recipe == own.recipe for own in found)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ["a", "b"]),
        ("'a, b',c", ["a, b", "c"]),
        ('"a, b"', None),
        ("a", None),
        ("x [y", None),
    ],
)
def test_commas_separate_where_yaml_says_so(load, text, values):
    found = load([f"title={text}"])
    assert [own.settings.get("title") for own in found.points] == (values or [None])
    assert [own.recipe.title for own in found.points] == (values or [text.strip('"')])


def test_lists_are_values_and_single_values_are_overrides(load):
    one = load(["data.target_languages=[de,sw]", "phases[0].training.steps=7"])
    assert len(one.points) == 1 and one.points[0].settings == {}
    assert (
        one.points[0].recipe.data.target_languages == ("de", "sw")
        and one.points[0].recipe.phases[0].training.steps == 7
    )
    two = load(["data.target_languages=[de],[sw]"])
    assert [own.recipe.data.target_languages for own in two.points] == [("de",), ("sw",)]


def test_a_file_says_the_same_and_the_command_line_adds_to_it(load):
    found = load(["phases[0].objective.lambda=0.1,0.9", "seed=7"], FILE)
    assert found.title == "sizes" and len(found.points) == 4
    assert [dict(own.settings) for own in found.points[:2]] == [
        {"data.limit": 200, "phases[0].objective.lambda": 0.1},
        {"data.limit": 200, "phases[0].objective.lambda": 0.9},
    ]
    assert all(own.recipe.phases[0].training.seed == 7 for own in found.points)
    assert all(own.recipe.phases[0].objective.beta == 0.3 for own in found.points)


def test_points_have_names_and_recipes_of_their_own_and_the_whole_grid(load):
    Path("other.yaml").write_text(VALID.replace("name: clo\n      lambda: 0.25", "name: orpo"))
    text = "points:\n  - {name: CLO, recipe: r.yaml, set: {data.limit: 9}}\n  - {name: ORPO, recipe: other.yaml}\n"
    found = load([], text + "grid: {seed: [1, 2]}\n")
    assert [dict(own.settings) for own in found.points] == [
        {"name": name, "seed": seed} for name in ("CLO", "ORPO") for seed in (1, 2)
    ]
    assert [own.recipe.phases[0].objective.name for own in found.points] == ["clo", "clo", "orpo", "orpo"]
    assert [own.recipe.data.limit for own in found.points] == [9, 9, None, None]


def test_paths_of_a_sweep_file_are_taken_from_its_folder(load, catalog, tmp_path, monkeypatch):
    (tmp_path / "s.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path.parent)
    assert len(load_sweep(str(tmp_path / "s.yaml"), catalog).points) == 4


def test_paths_that_a_sweep_file_sets_are_taken_from_its_folder_where_they_lead_to_something(
    catalog, tmp_path, monkeypatch
):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "left.jsonl").touch()
    (tmp_path / "a" / "chatml").touch()
    (tmp_path / "b" / "r.yaml").write_text(VALID)
    (tmp_path / "b" / "right.jsonl").touch()
    text = """\
recipe: ../b/r.yaml
set: {model.template: chatml, evaluators: [{name: perplexity, files: {en: left.jsonl, de: right.jsonl}}]}
grid: {data.source: [mine.jsonl, right.jsonl, gone.jsonl]}
"""
    (tmp_path / "a" / "s.yaml").write_text(text)
    found = load_sweep("a/s.yaml", catalog).points
    right = str(tmp_path / "b" / "right.jsonl")
    assert [own.recipe.data.source for own in found] == [str(tmp_path / "a" / "mine.jsonl"), right, "gone.jsonl"]
    assert found[0].recipe.evaluators[0].files == {"en": str(tmp_path / "a" / "left.jsonl"), "de": right}
    assert found[0].recipe.model.template == "chatml"
    assert [own.settings["data.source"] for own in found] == ["mine.jsonl", "right.jsonl", "gone.jsonl"]
    own = load_sweep("a/s.yaml", catalog, ["data.source=mine.jsonl"]).points
    assert own[0].recipe.data.source == str(tmp_path / "b" / "mine.jsonl")  # as langxfer run --set
    (tmp_path / "a" / "s.yaml").write_text("recipe: clo\npoints: [{name: one, set: {data.source: mine.jsonl}}]\n")
    (installed,) = load_sweep("a/s.yaml", catalog).points
    assert installed.recipe.data.source == str(tmp_path / "a" / "mine.jsonl")


def test_all_problems_of_all_points_are_told_once(problems):
    found = problems(["data.limt=1,2", "phases[0].objective=clo,cl0,sft", "phases[0].objective.lambda=2"])
    assert len(found) == 4
    assert "data.limt is not an option of data" in found[0] and 'Did you mean "limit"?' in found[0]
    assert "Point" not in found[0]  # all points have it
    (unknown,) = [own for own in found if '"cl0" is not installed' in own]
    assert "(Point data.limt=1, phases[0].objective=cl0 and 1 more.)" in unknown
    assert any("lambda is 2; expected 1 or less" in own and "objective=clo" in own for own in found)


def test_problems_of_a_file_have_its_lines(problems):
    assert problems([], FILE.replace("data.limit", "data.limt"))[0].startswith("s.yaml:6  data.limt is not an option")
    assert problems([], FILE.replace("[1, 2]", "[1, two]"))[0].startswith(
        's.yaml:7  phases[0].training.seed is "two"; expected a whole number.'
    )
    (wrong,) = problems([], FILE.replace("grid:", "grd:"))
    assert wrong.startswith("s.yaml:5  grd is not an option")
    assert 'Did you mean "grid"?' in wrong
    assert problems([], FILE.replace("[1, 2]", "[]"))[0].startswith("s.yaml:5  grid: seed has no values")


def test_what_a_file_lacks_is_told(problems):
    assert "recipe is missing" in problems([], "grid: {seed: [1, 2]}\n")[0]
    twice = "recipe: r.yaml\npoints: [{name: a}, {name: a}]\n"
    assert "two are called a" in problems([], twice)[0]
    assert "neither a file nor the name" in problems([], "recipe: nowhere\ngrid: {seed: [1]}\n")[0]


def test_what_would_do_nothing_is_told(problems):
    twice = FILE.replace("beta: 0.3", "beta: 0.3\n  data.limit: 5")
    assert problems([], twice)[0].endswith(
        "grid: data.limit is in set too, which would do nothing. Remove one of them."
    )
    own = "recipe: r.yaml\ngrid: {seed: [1, 2]}\npoints: [{name: a}, {name: b, set: {seed: 3}}]\n"
    assert "grid: seed is in the set of point b too" in problems([], own)[0]
    for override in ("data.limit", "=3"):
        (wrong,) = problems([override])
        assert wrong.startswith(f"--set {override}  expected path=value")


BELOW = FILE.replace("data.limit: [200, 400]", "phases[0].objective: [clo, orpo]")
SEEDS = FILE.replace("phases[0].objective.beta: 0.3", "phases[0].training.seed: 3")


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        (
            BELOW,
            [],
            "s.yaml:1  grid: phases[0].objective is applied after phases[0].objective.beta in set, which would",
        ),
        (FILE, ["phases[0]={objective: sft}"], "--set phases[0]  is applied after phases[0].objective.beta in set, "),
        (None, ["phases[0].objective.beta=1", "phases=[]"], "--set phases  is applied after --set phases[0].objective"),
        (
            None,
            ["held_out.margins=false", "evaluators=[]"],
            "--set evaluators  is applied after --set held_out.margins",
        ),
        (SEEDS, [], "s.yaml:1  grid: seed sets what phases[0].training.seed in set sets too, so one would do nothing."),
        (None, ["phases[0].training.seed=3,4", "seed=1,2"], "--set seed  sets what --set phases[0].training.seed sets"),
        (FILE, ["phases[0].training.seed=3"], "--set phases[0].training.seed  sets what seed in grid sets too, so one"),
    ],
)
def test_what_another_setting_would_undo_is_told(problems, text, overrides, expected):
    (found,) = problems(overrides, text)
    assert found.startswith(expected) and found.endswith("would do nothing. Remove one of them.")


def test_what_comes_first_may_be_refined_and_a_point_may_differ(load):
    refined = load(["phases[0].objective=clo,orpo", "phases[0].objective.lambda=0.7"])
    assert [own.recipe.phases[0].objective.lambda_ for own in refined.points] == [0.7, 0.7]
    text = """\
recipe: r.yaml
set: {"phases[0].objective.beta": 0.3}
points:
  - {name: a}
  - {name: b, set: {"phases[0].objective": sft, seed: 2}}
  - {name: c, set: {"phases[0].objective.beta": 0.4, "phases[0].training.seed": 3}}
"""
    first, second, third = (own.recipe.phases[0] for own in load([], text).points)
    assert (first.objective.beta, second.objective.name, third.objective.beta) == (0.3, "sft", 0.4)
    assert (first.training.seed, second.training.seed, third.training.seed) == (0, 2, 3)


def test_what_is_neither_is_told_as_of_a_recipe(problems):
    assert problems([], "- 1\n")[0].startswith("s.yaml:1  The recipe is a list of 1")
