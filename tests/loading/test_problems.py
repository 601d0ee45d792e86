"""Every error of a recipe, word for word, with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from langxfer import plugins
from langxfer.errors import RecipeError
from langxfer.loading import load_recipe, schema
from tests.loading.texts import VALID, with_translator


def owner() -> str:
    """The built-in distribution, as messages name it."""
    return f"langxfer {plugins.version_of('langxfer')}".rstrip()


GOLDEN = {
    "a list of a fixed length that is too short": (
        VALID.replace("selector: full", "selector: {name: attention, layers: [[8]]}"),
        "r.yaml:12  phases[0].selector.layers[0][1] is missing.",
    ),
    "unknown option of a component": (
        VALID.replace("lambda", "lamda"),
        'r.yaml:11  phases[0].objective.lamda is not an option of objective "clo" (OWNER).\n'
        '  Did you mean "lambda"?  Options: beta, label_smoothing, lambda, nll_reduction, nll_views, preference, '
        "ratio_reduction.",
    ),
    "an option's Python name": (
        VALID.replace("lambda", "lambda_"),
        'r.yaml:11  phases[0].objective.lambda_ is not an option of objective "clo" (OWNER).\n'
        '  Did you mean "lambda"?  Options: beta, label_smoothing, lambda, nll_reduction, nll_views, preference, '
        "ratio_reduction.",
    ),
    "unknown component": (
        VALID.replace("name: clo", "name: simpo"),
        'r.yaml:10  objective "simpo" is not installed.  Installed: clo, cpo, dpo, kto, orpo, sft.',
    ),
    "near component": (
        VALID.replace("selector: full", "selector: ful"),
        'r.yaml:12  selector "ful" is not installed.  Did you mean "full"?  Installed: attention, full, lora, pattern.',
    ),
    "no name": (
        VALID.replace("name: clo", "beta: 0.1"),
        "r.yaml:9  phases[0].objective has no name; expected the name of an objective.  "
        "Installed: clo, cpo, dpo, kto, orpo, sft.",
    ),
    "no component": (
        VALID.replace("selector: full", "selector: 5"),
        "r.yaml:12  phases[0].selector is 5; expected the name of a selector.  "
        "Installed: attention, full, lora, pattern.",
    ),
    "missing component": (
        VALID.replace("    selector: full\n", ""),
        "r.yaml:9  phases[0].selector is missing; expected the name of a selector.  "
        "Installed: attention, full, lora, pattern.",
    ),
    "unknown option of a section": (
        VALID.replace("source: tiny", "source: tiny\n  dtyp: bfloat16"),
        "r.yaml:4  model.dtyp is not an option of model.\n"
        '  Did you mean "dtype"?  Options: dtype, revision, sha256, source, template, trust_remote_code.',
    ),
    "unknown section": (
        VALID + "computer: {}\n",
        "r.yaml:15  computer is not an option of the recipe.\n"
        '  Did you mean "compute"?  Options: compute, data, evaluators, model, phases, quality, requires, title, '
        "tracking, translator.",
    ),
    "missing key": (
        VALID.replace("  format: parallel\n", ""),
        'r.yaml:4  data.format is missing; expected "alpaca", "messages", "oasst" or "parallel". '
        "How rows are laid out; parallel holds both languages and needs no translator.",
    ),
    "missing section": (VALID.replace("model:\n  source: tiny\n", ""), "r.yaml:1  model is missing."),
    "choice": (
        VALID.replace("parallel", "paralel"),
        'r.yaml:6  data.format is "paralel"; expected "alpaca", "messages", "oasst" or "parallel". '
        'Did you mean "parallel"?',
    ),
    "true for a number": (
        VALID + "compute: {threads: true}\n",
        "r.yaml:15  compute.threads is true; expected a whole number.",
    ),
    "text for a number": (
        VALID.replace("5e-5", '"5e-5"'),
        'r.yaml:14  phases[0].training.learning_rate is "5e-5"; expected a number.',
    ),
    "text for true": (
        VALID.replace("learning_rate: 5e-5", "dropout: no"),
        'r.yaml:14  phases[0].training.dropout is "no"; expected true or false.',
    ),
    "number for text": (VALID.replace("a test", "5"), "r.yaml:1  title is 5; expected text."),
    "fraction": (
        VALID.replace("learning_rate: 5e-5", "steps: 1.5"),
        "r.yaml:14  phases[0].training.steps is 1.5; expected a whole number.",
    ),
    "range": (
        VALID.replace("0.25", "1.5"),
        "r.yaml:11  phases[0].objective.lambda is 1.5; expected 1 or less.",
    ),
    "not finite": (
        VALID.replace("5e-5", ".inf"),
        "r.yaml:14  phases[0].training.learning_rate is .inf; expected a finite number.",
    ),
    "empty list": (
        VALID.replace("[de]", "[]"),
        "r.yaml:7  data.target_languages is an empty list; expected at least 1 item(s).",
    ),
    "text for a section": (
        VALID.replace("model:\n  source: tiny", "model: tiny"),
        'r.yaml:2  model is "tiny"; expected a mapping.',
    ),
    "mapping for a list": (VALID + "evaluators: {}\n", "r.yaml:15  evaluators is an empty mapping; expected a list."),
    "null for a section": (VALID + "compute:\n", "r.yaml:15  compute is null; expected a mapping."),
    "pattern": (
        VALID.replace("source: tiny", "source: pypi:x\n  sha256: abc"),
        'r.yaml:4  model.sha256 is "abc"; expected text that matches ^[0-9a-f]{64}$.',
    ),
    "across fields of a section": (
        VALID.replace("[de]", "[en]"),
        'r.yaml:4  data: source_language "en" is also in target_languages',
    ),
    "two lengths": (
        VALID.replace("learning_rate: 5e-5", "epochs: 3\n      steps: 20"),
        "r.yaml:13  phases[0].training: epochs (3) and steps (20) are both given. Keep one of them: remove the other "
        "from the recipe, or set it back with --set, epochs to 1 or steps to null.",
    ),
    "across sections": (
        VALID.replace("parallel", "alpaca"),
        "r.yaml:6  data.format alpaca has one language only: add a translator.",
    ),
    "a plugin's own words": (
        VALID + "evaluators:\n  - name: silent\n    level: 13.0\n",
        "r.yaml:17  evaluators[0].level: 13 brings bad luck",
    ),
    "missing option of a bare name": (
        with_translator("name: echo\nfile: a\nfallback: echo\n"),
        "r.yaml:18  translator.fallback.file is missing.",
    ),
    "alternatives": (
        with_translator("name: echo\nfile: a\nothers:\n  - {name: echo, file: a, times: 1.5}\n"),
        'r.yaml:19  translator.others[0].times is 1.5; expected a whole number or "often".',
    ),
    "unknown option deep inside": (
        with_translator("name: echo\nfile: a\nfallback:\n  name: echo\n  file: b\n  tims: 3\n"),
        'r.yaml:21  translator.fallback.tims is not an option of translator "echo" (PLUGIN).\n'
        '  Did you mean "times"?  Options: fallback, file, others, times.',
    ),
    "duplicate key": (
        VALID.replace("source: tiny", "source: tiny\n  source: huge"),
        "r.yaml:4  model.source is given twice, first in line 3. Keep one of them.",
    ),
    "tag": (
        VALID.replace("source: tiny", "source: !!python/object/apply:os.getcwd []"),
        "r.yaml:3  model.source has the YAML tag !!python/object/apply:os.getcwd, and a recipe holds plain values "
        "only. Remove it.",
    ),
    "number as a key": (VALID + "compute: {1: 2}\n", "r.yaml:15  compute has the key 1; expected a name as its key."),
    "requirement": (
        "requires: [foo bar]\n" + VALID,
        'r.yaml:1  requires[0] is "foo bar"; expected a distribution and its versions, such as langxfer-simpo>=0.1.',
    ),
    "not YAML": (
        VALID.replace("[de]", "[de"),
        "r.yaml:8  This is not valid YAML: expected ',' or ']', but got ':' while parsing a flow sequence.",
    ),
    "tab": (
        VALID.replace("  source: tiny", "\tsource: tiny"),
        "r.yaml:3  This is not valid YAML: found character '\\t' that cannot start any token "
        "while scanning for the next token.",
    ),
    "empty": ("# nothing\n", "r.yaml:1  The recipe is empty; expected a mapping with title, model, data, phases."),
    "list": ("- 1\n", "r.yaml:1  The recipe is a list of 1; expected a mapping with title, model, data, phases."),
    "alias of itself": ("a: &a [*a]\n", "r.yaml  This is nested too deeply to be a recipe."),
}


@pytest.mark.parametrize(("text", "message"), GOLDEN.values(), ids=GOLDEN)
def test_error_texts(problems, catalog, text: str, message: str) -> None:
    plugin = catalog.lookup("translator", "echo").distribution
    found = problems(text)
    if "model.source has the YAML tag" in message:
        found = found[:1]  # without its value, the option is missing too
    assert found == [message.replace("OWNER", owner()).replace("PLUGIN", plugin)]


def test_every_error_is_shown_in_the_order_of_the_file(problems) -> None:
    text = (
        VALID.replace("tiny", "tiny\n  dtyp: x").replace("[de]", "[de, xx]").replace("0.25", "7").replace("5e-5", "-1")
    )
    text = text.replace("selector: full", "selector: none")
    found = problems(text, ["compute.threads=0"])
    assert [line.split("  ")[0] for line in found] == [
        *(f"r.yaml:{line}" for line in (4, 8, 12, 13, 15)),
        "--set compute.threads",
    ]
    assert not any("pydantic" in line or "http" in line or "\0" in line or "Input" in line for line in found)


def test_an_unknown_name_tells_what_the_recipe_requires(problems) -> None:
    text = "requires: [langxfer-simpo>=0.1]\n" + VALID
    hint = 'This recipe requires langxfer-simpo>=0.1:  pip install "langxfer-simpo>=0.1"'
    assert problems(text.replace("name: clo", "name: simpo").replace("      lambda: 0.25\n", "")) == [
        f'r.yaml:11  objective "simpo" is not installed.  Installed: clo, cpo, dpo, kto, orpo, sft.\n  {hint}'
    ]
    assert problems(text) == [f"r.yaml:1  {hint}"]


def test_requirements_that_are_met_or_not(load, problems) -> None:
    recipe = load("requires: ['pydantic>=2', 'nothing-of-the-kind; python_version<\"3\"']\n" + VALID).recipe
    assert len(recipe.requires) == 2
    (problem,) = problems("requires: [pydantic>=99]\n" + VALID)
    assert problem.startswith("r.yaml:1  This recipe requires pydantic>=99, and ")
    assert problem.endswith(' is installed:  pip install "pydantic>=99"')


def test_the_ways_out_of_two_lengths_are_ways_out(load, problems) -> None:
    text = VALID.replace("learning_rate: 5e-5", "epochs: 3")
    path = "phases[0].training"
    assert "set it back with --set, epochs to 1 or steps to null" in problems(text, [f"{path}.steps=20"])[0]
    training = load(text, [f"{path}.steps=20", f"{path}.epochs=1"]).recipe.phases[0].training
    assert (training.steps, training.epochs) == (20, 1)
    assert load(text, [f"{path}.steps=20", f"{path}.steps=null"]).recipe.phases[0].training.steps is None


def test_a_plugin_that_failed_to_load_is_named(tmp_path: Path) -> None:
    """The name may be one that it would have brought."""
    failed = plugins.PluginInfo("langxfer-simpo", "0.1", "entry point", error="ImportError: no luck")
    whole = plugins.load()
    catalog = plugins.Catalog(whole.components, whole.recipes, (*whole.plugins, failed))
    path = tmp_path / "r.yaml"
    path.write_text(VALID.replace("name: clo", "name: simpo"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), catalog)
    assert str(caught.value).endswith("\n  Plugin langxfer-simpo could not be loaded: ImportError: no luck")


def test_files_that_cannot_be_read(tmp_path: Path, catalog) -> None:
    (tmp_path / "latin.yaml").write_bytes("title: übung\n".encode("latin-1"))
    for name, message in {
        str(tmp_path): "is a folder.  ",
        "clo2": 'is neither a file nor the name of an installed recipe.  Did you mean "clo"?  Installed recipes: ',
        str(tmp_path / "latin.yaml"): "is not UTF-8 text (byte 7); expected YAML in UTF-8.",
    }.items():
        with pytest.raises(RecipeError) as caught:
            load_recipe(name, catalog)
        assert str(caught.value).startswith(f"{name} {message}")


def test_a_kind_without_any_word(tmp_path: Path, catalog) -> None:
    components = {**catalog.components, "selector": {}}
    path = tmp_path / "r.yaml"
    path.write_text(VALID)
    bare = plugins.Catalog(components, {}, ())
    with pytest.raises(RecipeError, match='selector "full" is not installed'):
        load_recipe(str(path), bare)
    assert schema(bare)["$defs"]["Phase"]["properties"]["selector"]["enum"] == []
