"""Recipes read from YAML, changed on the command line, narrowed, and written back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from langxfer.builtin.objectives import Clo, Sft
from langxfer.builtin.selectors import FullSelector
from langxfer.loading import filled, load_recipe, narrowed, schema
from langxfer.recipe import Data, Model, Phase, Recipe, Training
from tests.loading.texts import VALID, with_translator

# ---------------------------------------------------------------- what is read


def test_a_valid_recipe_is_an_open_one(load) -> None:
    """Narrowing validates; what comes out is what Python code would have made, class by class."""
    loaded = load(VALID)
    expected = Recipe(
        title="a test",
        model=Model(source="tiny"),
        data=Data(source="pairs.jsonl", format="parallel", target_languages=("de",)),
        phases=(
            Phase(objective=Clo(**{"lambda": 0.25}), selector=FullSelector(), training=Training(learning_rate=5e-5)),
        ),
    )
    assert loaded.recipe == expected
    assert type(loaded.recipe) is Recipe
    assert type(loaded.recipe.phases[0].objective) is Clo
    assert loaded.text == VALID
    assert loaded.path == Path("r.yaml")


def test_yaml_is_1_2(load) -> None:
    recipe = load(VALID.replace("[de]", "[no]").replace("a test", "2024-01-01")).recipe
    assert recipe.data.target_languages == ("no",)
    assert recipe.title == "2024-01-01"
    assert recipe.phases[0].training.learning_rate == 5e-5


def test_anchors_are_allowed(load) -> None:
    text = VALID.replace("  - objective:", "  - &first\n    objective:") + "  - *first\n"
    assert load(text).recipe.phases[0] == load(text).recipe.phases[1]


def test_relative_paths_are_taken_from_the_recipe(load, tmp_path: Path, catalog, monkeypatch) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    (folder / "pairs.jsonl").write_text("")
    (folder / "r.yaml").write_text(VALID)
    monkeypatch.chdir(tmp_path)
    assert load_recipe("deep/r.yaml", catalog).recipe.data.source == str(folder / "pairs.jsonl")


def test_installed_recipes_are_found_by_name_and_all_of_them_load(catalog) -> None:
    assert {"clo", "sft", "dpo"} <= set(catalog.recipes)
    for name, (path, _) in catalog.recipes.items():
        assert load_recipe(name, catalog).path == path


def test_components_inside_components(load) -> None:
    nested = "name: echo\nfile: a\nfallback: {name: echo, file: b, others: [{name: echo, file: c, times: often}]}\n"
    translator = load(with_translator(nested)).recipe.translator
    assert type(translator) is type(translator.fallback) is type(translator.fallback.others[0])
    assert translator.fallback.others[0].times == "often"


# ---------------------------------------------------------------- --set


@pytest.mark.parametrize(
    ("override", "look", "value"),
    [
        ("phases[0].objective.beta=0.2", lambda recipe: recipe.phases[0].objective.beta, 0.2),
        ("phases[0].objective.lambda=1", lambda recipe: recipe.phases[0].objective.lambda_, 1.0),
        ("data.limit=100", lambda recipe: recipe.data.limit, 100),
        ("data.limit=", lambda recipe: recipe.data.limit, None),
        ("data.target_languages=[sw, no]", lambda recipe: recipe.data.target_languages, ("sw", "no")),
        ("data.target_languages[0]=sw", lambda recipe: recipe.data.target_languages, ("sw",)),
        ("compute.threads=2", lambda recipe: recipe.compute.threads, 2),
        ("phases[0].objective=sft", lambda recipe: recipe.phases[0].objective, Sft()),
        ("phases[0].objective={name: sft, views: [TT]}", lambda recipe: recipe.phases[0].objective, Sft(views=["TT"])),
        ("title=a=b", lambda recipe: recipe.title, "a=b"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_set(load, override: str, look: Callable[[Recipe], object], value: object) -> None:
    assert look(load(VALID, [override]).recipe) == value


def test_set_gives_options_to_a_component_that_was_a_bare_name(load) -> None:
    text = VALID.replace("selector: full", "selector: attention").replace("a test", "clo")
    assert load(text, ["phases[0].selector.biases=false"]).recipe.phases[0].selector.biases is False
    text = with_translator("name: echo\nfile: a\nfallback: echo\n")
    overrides = [
        "translator.fallback.file=b",
        "translator.fallback.fallback=echo",
        "translator.fallback.fallback.file=c",
    ]
    assert str(load(text, overrides).recipe.translator.fallback.fallback.file) == "c"


def test_one_override_may_be_a_text(load) -> None:
    assert load(VALID, "data.limit=1").recipe.data.limit == 1


def test_the_last_set_wins(load) -> None:
    assert load(VALID, ["data.limit=1", "data.limit=2"]).recipe.data.limit == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.limit=0", "--set data.limit  data.limit is 0; expected 1 or more."),
        ("data.limitt=1", "--set data.limitt  data.limitt is not an option of data.\n  Did you mean"),
        ("data.limit", "--set data.limit  expected path=value, such as phases[0].objective.beta=0.2."),
        ("data..limit=1", "--set data..limit  expected path=value, such as phases[0].objective.beta=0.2."),
        ("=1", "--set   expected path=value, such as phases[0].objective.beta=0.2."),
        (
            "phases[1].objective.beta=1",
            "--set phases[1].objective.beta  phases[1] does not exist: phases is a list of 1.",
        ),
        (
            "phase[0].objective=sft",
            '--set phase[0].objective  phase is not an option of the recipe. Did you mean "phases"?',
        ),
        ("qqq[0].x=1", "--set qqq[0].x  qqq is not an option of the recipe. Options: title, "),
        ('title=""', '--set title  title is ""; expected at least 1 character(s).'),
        ("evaluators=[held_out, held_out]", "--set evaluators  evaluators[1] is the same as evaluators[0]. Remove one"),
        ("data[0]=1", "--set data[0]  data is a mapping, so it has no item [0]."),
        ("title.x=1", '--set title.x  title is "a test", so x cannot be set in it.'),
        ("data.limit=[", "--set data.limit  This is not valid YAML: "),
        ("data.limit=!x 1", "--set data.limit  the recipe has the YAML tag !x"),
        ("phases[0].objective=ipo", '--set phases[0].objective  objective "ipo" is not installed.'),
    ],
    ids=str,
)
def test_set_that_cannot_be_done(problems, override: str, message: str) -> None:
    (found,) = problems(VALID, [override])
    assert found.startswith(message)


# ---------------------------------------------------------------- and back


def test_filled_writes_every_default_and_loads_to_an_equal_recipe(load, catalog) -> None:
    recipe = load(with_translator("name: echo\nfile: /a\nfallback: {name: echo, file: /b}\n")).recipe
    text = filled(recipe)
    assert "beta: 0.1" in text
    assert "tokens_per_micro_batch: auto" in text
    assert load(text).recipe == recipe
    assert filled(load(text).recipe) == text


@pytest.mark.parametrize("training", ["{schedule: constant}", "{steps: 3}", "{epochs: 2.0}", "{}"])
def test_filled_leaves_out_what_would_contradict(load, training: str) -> None:
    recipe = load(VALID.replace("training:\n      learning_rate: 5e-5", f"training: {training}")).recipe
    assert load(filled(recipe)).recipe == recipe


def test_every_installed_recipe_survives_the_round_trip(load, catalog) -> None:
    for name in catalog.recipes:
        if "/" in name and not name.startswith("paper/llama-3-8b/sw-"):
            continue  # they differ from these in model and language only
        recipe = load_recipe(name, catalog).recipe
        assert load(filled(recipe)).recipe == recipe


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    title=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1),
    rate=st.floats(1e-5, 1e3),
    limit=st.none() | st.integers(1, 10**9),
)
def test_any_value_survives_the_round_trip(load, title: str, rate: float, limit: int | None) -> None:
    plain = load(VALID).recipe
    recipe = plain.model_copy(
        update={
            "title": title,
            "data": plain.data.model_copy(update={"limit": limit}),
            "phases": (plain.phases[0].model_copy(update={"training": Training(learning_rate=rate)}),),
        }
    )
    assert load(filled(recipe)).recipe == recipe


# ---------------------------------------------------------------- narrowing and schema


def test_narrowed_is_a_recipe_and_leaves_the_open_one_alone(catalog) -> None:
    assert issubclass(narrowed(catalog), Recipe)
    assert narrowed(catalog) is not Recipe
    objective = Clo()
    open_recipe = Recipe(
        title="t",
        model=Model(source="m"),
        data=Data(source="d", format="parallel", target_languages=("de",)),
        phases=(Phase(objective=objective, selector=FullSelector()),),
    )
    assert open_recipe.phases[0].objective is objective


def test_schema_describes_what_is_installed(catalog) -> None:
    described = schema(catalog)
    json.dumps(described)
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    clo = described["$defs"]["Clo"]
    nll, pairs = {"lambda", "nll_views", "nll_reduction"}, {"beta", "preference", "label_smoothing", "ratio_reduction"}
    assert set(clo["properties"]) == {"name"} | nll | pairs
    assert clo["required"] == ["name"]
    assert clo["additionalProperties"] is False
    assert clo["properties"]["name"]["const"] == "clo"
    assert clo["properties"]["lambda"]["maximum"] == 1
    names, *choices = described["$defs"]["Phase"]["properties"]["objective"]["anyOf"]
    assert names == {"enum": ["clo", "cpo", "dpo", "kto", "orpo", "sft"]}
    assert {"$ref": "#/$defs/Clo"} in choices
    translators = described["properties"]["translator"]["anyOf"]
    assert all("echo" not in choice.get("enum", ()) for choice in translators), "echo needs a file"
    assert {"$ref": "#/$defs/Echo"} in described["$defs"]["Echo"]["properties"]["fallback"]["anyOf"]
