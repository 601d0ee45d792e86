"""``langxfer check`` looks into what it calls ok, says once what is wrong, and knows what it cannot know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from langxfer import plugins
from langxfer.engine.check import Finding, check
from langxfer.errors import ArtifactError
from langxfer.loading import load_recipe
from tests.conftest import TOPICS

ROWS = [{"instruction": f"Say {topic}.", "output": topic} for topic in TOPICS]


@pytest.fixture
def look(recipe: Path, fake_plugin: Path):
    """The findings of the recipe with some changes."""

    def findings(*changes: str, runs: Path = recipe.parent / "runs") -> list[Finding]:
        return check(load_recipe(str(recipe), plugins.load([fake_plugin]), changes).recipe, runs)

    return findings


def of(findings: list[Finding], subject: str) -> list[tuple[str, str]]:
    return [(own.verdict, own.text) for own in findings if own.subject == subject]


def test_a_recipe_that_is_right(look) -> None:
    found = look()
    assert {own.verdict for own in found} == {"ok"}
    assert of(found, "reference") == [("ok", "phases[0] clo: made from the model at the phase's start")]


def test_a_device_that_is_not_here_may_be_where_it_runs(look) -> None:
    import torch

    (verdict, text) = of(look("compute.device=cuda"), "device")[0]
    there = torch.cuda.is_available()
    assert verdict == ("ok" if there else "unknown") and ("the run needs one" in text) == (not there)
    assert not of(look("compute.device=auto"), "device")


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".TSV", "\t")])
def test_tables_are_read(look, recipe: Path, suffix: str, delimiter: str) -> None:
    path = recipe.parent / f"table{suffix}"
    path.write_text("".join(f"{row['instruction']}{delimiter}{row['output']}\n" for row in ROWS))
    (verdict, text) = of(look(f"data.source={path.name}"), "data")[0]
    assert verdict == "problem" and 'no row has a field "instruction"' in text
    path.write_text(f"instruction{delimiter}output\n{path.read_text()}")
    found = of(look(f"data.source={path.name}"), "data")
    assert found == [("ok", f"{path.name}: 8 usable rows, 4 to train on, 4 to validate with")]
    path.write_bytes(b"\xff\x00garbage")
    assert of(look(f"data.source={path.name}"), "data")[0][0] == "problem"


def test_of_parquet_the_footer_is_read(look, recipe: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    path = recipe.parent / "rows.parquet"
    write_table(pyarrow.Table.from_pylist(ROWS), path)
    found = of(look("data.source=rows.parquet"), "data")
    assert found == [("unknown", "rows.parquet has 8 rows; the run sees which of them can be used")]
    path.write_bytes(b"garbage")
    (verdict, text) = of(look("data.source=rows.parquet"), "data")[0]
    assert verdict == "problem" and "rows.parquet cannot be read as Parquet" in text
    write_table(pyarrow.Table.from_pylist(ROWS).slice(0, 0), path)
    assert "it holds no rows" in of(look("data.source=rows.parquet"), "data")[0][1]


def test_a_large_file_is_left_to_the_run(look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langxfer.engine.check.LARGE", 10)
    assert of(look(), "data")[0][0] == "unknown"


def test_a_gguf_file_is_converted_by_the_run(look, recipe: Path) -> None:
    path = recipe.parent / "model.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    found = of(look("model.source=model.gguf"), "model")
    text = f"{path} is a GGUF file; template and selectors are checked when the run has converted it"
    assert found == [("unknown", text)]
    path.write_bytes(b"version https://git-lfs")
    ((verdict, text),) = of(look("model.source=model.gguf"), "model")
    assert verdict == "problem" and "model.gguf: not a GGUF file (23 bytes; it begins with 'version" in text


def test_a_model_file_that_was_not_fetched_is_a_problem(look, recipe: Path, tiny: Path) -> None:
    copy = Path(shutil.copytree(tiny, recipe.parent / "copy"))
    (copy / "model.safetensors").write_text("x\n")
    found = look("model.source=copy")
    ((verdict, text),) = of(found, "model")
    assert verdict == "problem" and "model.safetensors: not a safetensors file (2 bytes" in text
    assert of(found, "reference") == []


CAUSES = {
    "data.source=absent.jsonl": ("data", "no such file"),
    "data.replies_per_prompt=3": ("data", "has no effect with format alpaca"),
    "model.source=./absent": ("model", "no such folder"),
    "evaluators=[{name: language_fidelity, prompts: absent.jsonl}]": ("evaluators", "absent.jsonl"),
    "model.source=nobody/knows-it": ("model", "nobody/knows-it"),
}


@pytest.mark.parametrize("change", CAUSES)
def test_one_cause_is_said_once(look, change: str) -> None:
    subject, said = CAUSES[change]
    wrong = [own for own in look(change) if own.verdict != "ok"]
    assert [own.subject for own in wrong] == [subject] and said in wrong[0].text


def test_nothing_is_said_of_references_without_data(look, recipe: Path) -> None:
    (recipe.parent / "broken.jsonl").write_text(json.dumps(ROWS[0]) + "\n{\n")
    found = look("data.source=broken.jsonl")
    assert of(found, "data")[0][0] == "problem" and of(found, "reference") == []


def test_runs_that_are_a_file(look, recipe: Path) -> None:
    with pytest.raises(ArtifactError, match=r"tiny\.yaml: is not a folder\. Choose another one with --runs"):
        look(runs=recipe)
