"""Measuring from Python, and what is found before anything is computed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import langxfer
from langxfer.builtin.evaluators.belebele import Belebele
from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
from langxfer.builtin.evaluators.perplexity import Perplexity
from langxfer.engine import models, stages, weights
from langxfer.errors import DataError, RecipeError
from langxfer.events import Notice
from langxfer.report.finished import read_finished
from langxfer.testing import tiny_model

CPU = langxfer.Compute(device="cpu", threads=1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with prompts and texts."""
    monkeypatch.chdir(tmp_path)
    prompts = [{"id": str(n), "en": f"Say {n} words.", "de": f"Sag {n} Worte."} for n in range(3)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    (tmp_path / "de.txt").write_text("Die See ist tief.\nDas Brot ist frisch.\n")
    return tmp_path


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Models that are loaded, and translations and fetches that begin."""
    found: list[Any] = []
    for module, name in ((weights, "load_model"), (stages, "make_translate"), (models, "fetch")):
        own = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, own=own, **k: (found.append(a), own(*a, **k))[1])
    return found


def test_components_and_names(home: Path, tiny: Path, loads: list[Any]) -> None:
    fidelity = LanguageFidelity(prompts="prompts.jsonl", max_new_tokens=4)
    both = [fidelity, Perplexity(files={"de": "de.txt"})]
    events: list[Any] = []
    found = langxfer.evaluate(tiny, both, limit=1, compute=CPU, observe=events.append)
    assert isinstance(found, langxfer.Evaluated) and found.did_work and events
    assert (found.model, found.path.parent) == (tiny.name, Path("runs"))
    assert [row["id"] for row in found.rows["language_fidelity"]] == ["0/en", "0/de"]
    (score,) = found.scores["perplexity"]
    assert (score.name, score.n) == ("perplexity/bits_per_byte/de", 1)
    assert found.evaluations["perplexity"].unfinished is None
    read = read_finished(found.path).after
    assert {name: own.scores for name, own in read.items()} == found.scores
    assert [*read["language_fidelity"].rows] == [*found.rows["language_fidelity"]]
    count = len(loads)
    again = langxfer.evaluate(langxfer.Model(source=str(tiny)), both, limit=1, compute=CPU)
    assert not again.did_work and again.evaluations == found.evaluations and len(loads) == count
    named = ["perplexity.files={de: de.txt}", "perplexity.limit=1"]
    assert langxfer.evaluate(tiny, "perplexity", overrides=named, compute=CPU).scores["perplexity"] == [score]
    listed = langxfer.evaluate(tiny, ["perplexity"], overrides=named, compute=CPU)
    assert not listed.did_work and listed.scores["perplexity"] == [score]
    other = langxfer.evaluate(langxfer.Model(source=str(tiny), template="chatml"), fidelity, limit=1, compute=CPU)
    assert other.did_work and other.path != found.path


def command(found: langxfer.Evaluated) -> list[str]:
    return list(json.loads((found.path / "manifest.json").read_text())["command"])


def again(found: langxfer.Evaluated, folder: Path) -> Any:
    """What the command in the manifest gives, in another folder."""
    program = [sys.executable, "-m", *command(found), "--runs", str(found.path.parent.resolve()), "--json"]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_command_in_the_manifest_measures_the_same(home: Path, tiny: Path, tmp_path_factory: Any) -> None:
    model = langxfer.Model(source=str(tiny), template="chatml", dtype="bfloat16")
    texts = [Perplexity(files={"de": "de.txt"}, limit=1), Perplexity(files={"de": "de.txt"}, limit=2)]
    found = langxfer.evaluate(model, [*texts, LanguageFidelity(prompts="prompts.jsonl", max_new_tokens=4)], compute=CPU)
    words = command(found)
    assert words[:4] == ["langxfer", "evaluate", str(tiny), "perplexity,perplexity,language_fidelity"]
    assert {'model.dtype="bfloat16"', "evaluators[0].limit=1", "language_fidelity.max_new_tokens=4"} <= {*words[5::2]}
    told = again(found, tmp_path_factory.mktemp("elsewhere"))
    assert not told["did_work"] and Path(told["evaluation"]).name == found.path.name


def test_a_base_model_needs_no_template_for_plain_texts(home: Path, tmp_path: Path) -> None:
    base = tiny_model(home / "base", template=None)
    found = langxfer.evaluate(base, Perplexity(files={"de": "de.txt"}), compute=CPU)
    assert found.scores["perplexity"][0].n == 2
    asking = LanguageFidelity(prompts="prompts.jsonl", max_new_tokens=4)
    with pytest.raises(RecipeError, match=r"has no chat template .*by --set model.template=…: alpaca, chatml, plain"):
        langxfer.evaluate(base, asking, compute=CPU)


def test_a_recipe_brings_its_examples(recipe: Path, tiny: Path, fake_plugin: Path, home: Path) -> None:
    catalog = langxfer.load_plugins([fake_plugin])
    loaded = langxfer.load_recipe(str(recipe), catalog).recipe
    found = langxfer.evaluate(tiny, loaded)
    assert {score.n for score in found.scores["held_out"] if "bits" in score.name} == {4}
    by_file = langxfer.evaluate(str(tiny), recipe, catalog=catalog)
    assert not by_file.did_work and by_file.evaluations == found.evaluations
    assert command(by_file) == ["langxfer", "evaluate", str(tiny), "evaluators.yaml"]
    copy = langxfer.evaluate(str(tiny), by_file.path / "evaluators.yaml", catalog=catalog)
    assert not copy.did_work and copy.path == by_file.path
    said: list[object] = []
    fewer = langxfer.evaluate(tiny, loaded, limit=2, observe=said.append)
    assert Notice("--limit 2: measured in full, having no such option: held_out") in said
    assert fewer.scores["held_out"] == found.scores["held_out"]
    assert max(score.n for score in fewer.scores["language_fidelity"]) == 2
    with pytest.raises(RecipeError, match=r"--limit: no evaluator has an option of this name \(held_out\)"):
        langxfer.evaluate(tiny, loaded.model_copy(update={"evaluators": loaded.evaluators[1:]}), limit=2)


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ([], {}, "there are no evaluators"),
        ([Perplexity(files={"de": "de.txt"})] * 2, {}, r"evaluators\[1\] is the same as evaluators\[0\]"),
        (["belebel"], {}, 'Did you mean "belebele"'),
        (Perplexity(files={"de": "de.txt"}), {"overrides": ["perplexity.limit=1"]}, "only for names and files"),
        (["perplexity", Perplexity(files={"de": "de.txt"})], {"overrides": ["x=1"]}, "only for names and files"),
        *(
            (Perplexity(files={"de": "de.txt"}), {"limit": limit}, f"--limit: found {limit}; expected a whole number")
            for limit in (0, -1, 2.5, True)
        ),
        ("perplexity", {"limit": 0, "overrides": ["perplexity.files={de: de.txt}"]}, "--limit: found 0"),
        (Perplexity(files={"de": "de.txt"}), {"before": True}, "is no run folder"),
        ("held_out", {}, "held_out: needs validation examples, and there are none"),
    ],
)
def test_mistakes(home: Path, tiny: Path, what: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        langxfer.evaluate(tiny, what, compute=CPU, **options)
    assert not (home / "runs").exists()


BROKEN = {
    "no file": (
        Perplexity(files={"de": "none.txt"}),
        r"^perplexity\.files .*/none\.txt cannot be read .*Check the path",
    ),
    "wrong row": (LanguageFidelity(prompts="de.txt"), r"^language_fidelity: .*de\.txt:1 is not JSON"),
    "no language": (Belebele(source=".", languages=("sw",)), r"^belebele\.source .* expected one file swh_Latn\.jsonl"),
    "blank": (Perplexity(files={"de": "blank.txt"}), r"^perplexity\.files: .*blank\.txt holds no text"),
}


def test_all_that_evaluators_lack_is_said_before_anything_is_computed(
    home: Path, tiny: Path, recipe: Path, fake_plugin: Path, loads: list[Any]
) -> None:
    """Whether they cannot say what they are, or cannot be asked; by ``evaluate`` and by ``run``."""
    (home / "blank.txt").write_text("\n \n")
    fine = Perplexity(files={"de": "de.txt"})
    whole = langxfer.load_recipe(str(recipe), langxfer.load_plugins([fake_plugin])).recipe
    for names in (["no file"], ["blank"], ["blank", "wrong row"], list(BROKEN)):
        evaluators = [fine, *(BROKEN[name][0] for name in names)]
        broken = whole.model_copy(update={"evaluators": tuple(evaluators)})
        calls = (lambda e=evaluators: langxfer.evaluate(tiny, e, compute=CPU), lambda r=broken: langxfer.run(r))
        for call in calls:
            with pytest.raises(DataError) as caught:
                call()
            lines = str(caught.value).splitlines()
            assert len(lines) == len(names)
            for line, name in zip(lines, names, strict=True):
                assert re.search(BROKEN[name][1], line), line
    assert not loads and not (home / "runs").exists()


def test_languages_that_only_the_examples_will_have_are_checked_too(
    home: Path, recipe: Path, fake_plugin: Path, loads: list[Any]
) -> None:
    whole = langxfer.load_recipe(str(recipe), langxfer.load_plugins([fake_plugin])).recipe
    with pytest.raises(DataError, match=r"belebele\.source .* expected one file eng_Latn\.jsonl"):
        langxfer.run(whole.model_copy(update={"evaluators": (Belebele(source=str(home)),)}))
    assert not loads
