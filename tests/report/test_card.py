"""The model card: the hub's own classes read it, its snippet runs, and it tells nothing of the machine."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

import langxfer
from langxfer.components import Evaluation, Score
from langxfer.engine.models import licence_of
from langxfer.errors import RecipeError
from langxfer.recipe_text import RecipeText
from langxfer.report.card import model_card
from langxfer.report.finished import Finished, read_finished
from langxfer.report.licences import licence
from langxfer.report.paths import known_paths, shown_text, without_folders, without_known
from langxfer.report.score_names import languages_of, split_name
from langxfer.testing import tiny_model
from tests.conftest import RECIPE, write_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, fake_plugin: Path) -> Finished:
    """A run of two phases; its base model has a card that names a licence."""
    folder = tmp_path_factory.mktemp("erika")
    base = tiny_model(folder / "base")
    (base / "README.md").write_text("---\nlicense: other\nlicense_name: open-nc-1\nlicense_link: https://x/y\n---\n")
    write_rows(folder / "rows.jsonl")
    text = RECIPE.format(model=base).replace("epochs: 2", "steps: 2")
    text = text.replace(
        "evaluators:", "  - {objective: sft, selector: full, training: {batch_size: 8, steps: 1}}\nevaluators:"
    )
    (folder / "tiny.yaml").write_text(
        text.replace("validation: 4", "validation: 4, filters: [identical, length_ratio]")
    )
    loaded = langxfer.load_recipe(str(folder / "tiny.yaml"), langxfer.load_plugins([fake_plugin]))
    return read_finished(langxfer.run(loaded.recipe, runs=folder / "runs").path)


@pytest.fixture(scope="module")
def card(run: Finished) -> str:
    return (run.path / "model" / "README.md").read_text()


def test_the_hub_reads_the_front_matter(run: Finished, card: str) -> None:
    data = ModelCard(card).data  # validates
    assert data.language == ["en", "de"] and data.library_name == "transformers"
    assert data.license == "other" and data.base_model is None and data.datasets is None
    assert data.pipeline_tag == "text-generation" and {"langxfer", "clo", "sft"} <= set(data.tags)
    wanted = {score.name: score for own in run.after.values() for score in own.scores if score.value is not None}
    found = {result.metric_name: result for result in data.eval_results}
    assert found.keys() == wanted.keys() and wanted
    for name, score in wanted.items():
        assert found[name].metric_value == score.value
        assert found[name].metric_args["signature"] == score.signature
        assert found[name].dataset_config == (split_name(name)[1] if languages_of(name) else None)


def test_it_says_what_was_done(run: Finished, card: str) -> None:
    body = ModelCard(card).text
    for title in ("Languages", "Data", "Method", "Training", "Scores", "Limits", "Licence"):
        assert f"\n## {title}\n" in body
    facts = run.manifest["data"]
    assert f"{facts['train']} training and 4 validation pairs from `rows.jsonl`, translated from English" in body
    for reason, count in facts["dropped"].items():
        assert f"- {count}: {reason}" in body
    assert "arXiv 2505.14297, equation 3" in body and "`lambda: 0.5`" in body and "`full`" in body
    assert re.search(r"\| train\\\[0\\\] clo \| 2 \| 4 \| 0.01 cosine \| [\d,]+ \| [\d.]+% of", body)
    assert r"| train\[1\] sft | 1 | 8 |" in body


def test_scores_come_with_errors_and_the_run_s_own_tests(run: Finished, card: str) -> None:
    told = json.loads((run.path / "scores.json").read_text())["comparisons"]
    scores = run.scores()
    assert [own.record() for own in scores.comparisons] == told
    tested = next(own for own in scores.comparisons if own.effect)
    row = next(line for line in card.splitlines() if line.startswith(f"| {tested.second.name} |"))
    digits = 1 if tested.second.unit == "%" else 3
    assert f"± {tested.second.standard_error:.{digits}f}" in row and f"[{tested.effect.low:+.{digits}f}, " in row


def test_what_became_worse_is_a_limit(run: Finished, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("model"))
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    names = [own["name"] for own in scores["comparisons"]]
    place = names.index("held_out/bits_per_byte/en")
    effect = {"difference": 1.0, "low": 0.5, "high": 1.5, "p": 0.001, "n": 4, "test": "bootstrap"}
    scores["comparisons"][place] |= {"effect": effect, "adjusted_p": 0.001, "untested": None}
    (tmp_path / "run" / "scores.json").write_text(json.dumps(scores))
    text = model_card(read_finished(tmp_path / "run"))
    assert "- Measured to be worse than before: held_out/bits_per_byte/en." in text
    assert "+1.000 [+0.500, +1.500] \\* | 0.001 |" in text


def test_the_snippet_runs(run: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    text = model_card(run, str(run.path / "model"))
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert snippet is not None
    exec(snippet[1].replace("max_new_tokens=200", "max_new_tokens=3"), {})
    assert capsys.readouterr().out.endswith("\n")


def test_the_recipe_in_it_is_the_run_s_with_files_without_folders(run: Finished, card: str) -> None:
    block = re.search(r"```yaml\n(.*?)```", card, re.DOTALL)
    assert block is not None
    assert RecipeText.read("x", block[1]).values == without_folders(run.recipe)
    assert run.manifest["data"]["identity"]["sha256"] in card


def test_no_folder_of_this_machine_is_in_it(run: Finished, card: str) -> None:
    folder = run.path.parents[1]
    for part in (str(folder), folder.name, "erika", "/tmp/"):
        assert part not in card


def test_a_score_of_a_pair_of_languages_is_of_both(run: Finished) -> None:
    names = ("translation_quality/en-de/chrf++", "held_out/margin/en-over-de", "belebele/de")
    for name in names:
        after = {"quiz": Evaluation([Score(name, 1.0, None, 6, "s")], [])}
        assert "No score is of German." not in model_card(replace(run, after=after))
    nothing = {"quiz": Evaluation([Score("belebele/de", None, None, 0, "s"), Score("x/en", 1.0, None, 1, "s")], [])}
    assert "No score is of German." in model_card(replace(run, after=nothing))


def test_several_licences_of_a_base_model_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense:\n- mit\n- apache-2.0\n---\n")
    assert licence_of(tmp_path) == {"license": "mit, apache-2.0"}


def test_licences_are_said_and_not_decided(run: Finished, card: str) -> None:
    assert run.manifest["model"]["licence"] == {
        "license": "other",
        "license_name": "open-nc-1",
        "license_link": "https://x/y",
    }
    assert "This model: not decided." in card
    assert "Base model: `open-nc-1`, says its own card, see https://x/y." in card
    assert "NonCommercial: the licence of the base model excludes commercial use." in card
    assert "the licence of `rows.jsonl` is not known" in card


def terms(base: str | None, source: str, translator: str = "m2m100", chosen: str | None = None):
    recipe = {"data": {"source": source}, "translator": {"name": translator}}
    model = {"licence": {"license": base} if base else None}
    return licence(Finished(Path(), "x", recipe, {"model": model}, {}, {}), chosen)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("apache-2.0", "langxfer:pairs.jsonl"), {"license": "apache-2.0"}),
        (("apache-2.0", "rows.jsonl"), {"license": "other", "license_name": "not-decided"}),
        ((None, "langxfer:pairs.jsonl"), {"license": "other", "license_name": "not-decided"}),
        (("cc-by-nc-4.0", "langxfer:pairs.jsonl"), {"license": "other", "license_name": "not-decided"}),
        (("apache-2.0", "langxfer:pairs.jsonl", "nllb"), {"license": "other", "license_name": "not-decided"}),
        ((None, "rows.jsonl", "m2m100", "mit"), {"license": "mit"}),
        (("unknown", "langxfer:pairs.jsonl"), {"license": "other", "license_name": "not-decided"}),
        (("Apache 2.0", "langxfer:pairs.jsonl"), {"license": "other", "license_name": "not-decided"}),
        (("mit, apache-2.0", "langxfer:pairs.jsonl"), {"license": "other", "license_name": "not-decided"}),
        (
            ("fair-noncommercial-research-license", "langxfer:pairs.jsonl"),
            {"license": "other", "license_name": "not-decided"},
        ),
    ],
)
def test_a_licence_is_given_only_where_all_parts_are_known(given, expected) -> None:
    assert terms(*given).fields == expected


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            "foo",
            r"^--license foo: no licence that the hub lists has this identifier\. Expected one such as",
        ),
        ("Apache 2.0", r"Did you mean apache-2\.0\?"),
        ("MIT", r"Did you mean mit\?"),
        ("llama-3.1", r"Did you mean llama3\.1\?"),
    ],
)
def test_an_identifier_that_the_hub_does_not_list_is_refused(chosen: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        terms("mit", "rows.jsonl", chosen=chosen)
    assert terms("mit", "rows.jsonl", chosen="other").fields == {"license": "other"}


def test_hints_that_use_may_be_restricted() -> None:
    hints = [own for own in terms("mit", "/data/alpaca-en.jsonl", "nllb").sentences if own.startswith("NonCommercial")]
    assert len(hints) == 2 and "/data" not in " ".join(hints)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rows in /home/erika/data/rows.jsonl, and more", "rows in rows.jsonl, and more"),
        ("source=/mnt/x/y.csv", "source=y.csv"),
        ("~/work/a.yaml", "a.yaml"),
        ("file:///srv/data/a.parquet", "a.parquet"),
        (r"C:\Users\erika\a.txt", "a.txt"),
        ("my home is /home/erika, not /home/o'brien/x.txt", "my home is ~, not x.txt"),
        (
            "https://example.org/a/b and org/name, 1/2/3, s/he/they",
            "https://example.org/a/b and org/name, 1/2/3, s/he/they",
        ),
    ],
)
def test_paths_in_texts_become_names(text: str, expected: str) -> None:
    assert shown_text(text) == expected


def test_paths_with_spaces_and_the_folders_above_them_are_known_from_the_recipe() -> None:
    known = known_paths({"a": ["/home/erika m/my data/rows.jsonl"], "b": "org/name", "c": "/no_think"})
    text = "# in /home/erika m/my data there is /home/erika m/my data/rows.jsonl, other.txt in /home/erika m/other.txt"
    assert without_known(text, known) == "# in . there is rows.jsonl, other.txt in other.txt"


def test_recipes_keep_prompts_that_look_like_paths(tmp_path: Path) -> None:
    there = tmp_path / "a.txt"
    there.write_text("")
    paths = {
        "data": {"source": "/mnt/gone/rows.jsonl"},
        "evaluators": [{"files": {"de": "/mnt/de.txt"}, "list": str(there), "mine": "/home/erika/x"}],
    }
    prompts = {"system": "/no_think", "words": "Answer with /yes/no only.", "more": "/yes/no", "x": "a" * 5000}
    found = without_folders({**paths, **prompts})
    assert found == {
        "data": {"source": "rows.jsonl"},
        "evaluators": [{"files": {"de": "de.txt"}, "list": "a.txt", "mine": "x"}],
        **prompts,
    }


def test_hub_models_and_data_are_linked(run: Finished, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("model"))
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    manifest["model"] |= {"source": "org/base", "weights": "a" * 40}
    manifest["data"]["identity"] = {"hub": "org/rows", "commit": "b" * 40}
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    data = ModelCard(model_card(read_finished(tmp_path / "run"))).data
    assert data.base_model == "org/base" and data.datasets == ["org/rows"]
