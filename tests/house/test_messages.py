"""One message of each class of error, word for word: where, what was found, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from langxfer import errors, plugins
from langxfer.builtin.memory import Memory
from langxfer.components import Pair
from langxfer.data import read_examples
from langxfer.errors import ArtifactError, DataError, LangxferError, PluginError, RecipeError, StageError
from langxfer.loading import load_recipe


def recipe_error() -> None:
    Path("r.yaml").write_text("title: x\nmodel: {source: a, dtyp: b}\n")
    load_recipe("r.yaml", plugins.load())


def plugin_error() -> None:
    Path("p.py").write_text("from langxfer.hookspecs import hookimpl\n@hookimpl\ndef register_losses(): ...\n")
    plugins.load([Path("p.py")])


def data_error() -> None:
    Path("memory.tsv").write_text("en\tde\nyes\n")
    with Memory(files=("memory.tsv",)).open("cpu", Path("cache")) as translator:
        translator.translate(["yes"], Pair("en", "de"))


def artifact_error() -> None:
    Path("examples.jsonl").write_text('{"id": "a"')
    read_examples(Path("examples.jsonl"))


def stage_error() -> None:
    raise StageError("train", "0123456789abcdef", "the loss is not finite at step 3")


MESSAGES: dict[type[LangxferError], tuple[Callable[[], None], int, str]] = {
    RecipeError: (
        recipe_error,
        2,
        "r.yaml:1  data is missing.\n"
        "r.yaml:1  phases is missing. Training phases, one after the other.\n"
        "r.yaml:2  model.dtyp is not an option of model.\n"
        '  Did you mean "dtype"?  Options: dtype, revision, sha256, source, template, trust_remote_code.',
    ),
    PluginError: (
        plugin_error,
        2,
        "--plugin HERE/p.py cannot be used: register_losses is not a hook. Did you mean register_filters?  "
        "Hooks: observe, register_evaluators, register_filters, register_judges, register_objectives, "
        "register_recipes, register_selectors, register_translators.",
    ),
    DataError: (data_error, 2, "memory.tsv:2 has 1 columns, expected 2 as in the first line."),
    ArtifactError: (
        artifact_error,
        1,
        "examples.jsonl:1 is not JSON (Expecting ',' delimiter). Delete the file's folder and run again.",
    ),
    StageError: (stage_error, 1, "stage train (0123456789ab) failed: the loss is not finite at step 3"),
}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_messages(kind: type[LangxferError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, exit_code, message = MESSAGES[kind]
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value).replace(str(tmp_path), "HERE") == message
    assert caught.value.exit_code == exit_code


def test_every_class_of_error_has_a_message_here() -> None:
    classes = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LangxferError)}
    assert set(MESSAGES) == classes - {LangxferError}
