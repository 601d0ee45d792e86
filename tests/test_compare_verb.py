"""``langxfer compare`` as a user meets it: on recipes, runs and evaluations, and used wrongly."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import langxfer
from langxfer import cli
from langxfer.cli.compare import print_comparison
from langxfer.errors import DataError
from langxfer.report.compare_runs import check_asked, compare_finished
from langxfer.report.finished import read_finished
from tests.conftest import RECIPE, write_rows
from tests.report.finished_values import finished, shares

Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """Recipes: clo, sft with another objective alone, small with other data too."""
    folder = tmp_path_factory.mktemp("compare")
    write_rows(folder / "rows.jsonl")
    clo = RECIPE.format(model=tiny).replace("epochs: 2", "steps: 2").replace("title: tiny", "title: clo")
    sft = clo.replace("title: clo", "title: sft").replace("objective: clo", "objective: sft")
    small = sft.replace("title: sft", "title: small").replace("validation: 4", "validation: 4, limit: 8")
    for name, text in (("clo", clo), ("sft", sft), ("small", small)):
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture
def verb(home: Path, fake_plugin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verb:
    """Call a verb in the home folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(home)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["langxfer", *map(str, arguments), "--plugin", str(fake_plugin)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return call


@pytest.fixture
def folders(verb: Verb, home: Path) -> list[Path]:
    """Runs of clo and sft."""
    assert verb("compare", "clo.yaml", "sft.yaml", "--format", "json")[0] == 0
    return [next(home.glob(f"runs/{name}-*/manifest.json")).parent for name in ("clo", "sft")]


def test_recipes_that_differ_in_more_than_the_objective_are_said_to_first(verb):
    code, printed, said = verb("compare", "clo.yaml", "small.yaml")
    assert code == 0, said
    first, *rest = printed.splitlines()
    assert first.startswith("The recipes differ in data and objective (data.limit): this is NOT a comparison of")
    differences, scores = printed.index("in what the recipes differ"), printed.index("held_out")
    assert differences < printed.index("data.limit", differences) < scores
    assert any(line.split() == ["data.limit", "null", "8"] for line in rest)
    assert any(line.split() == ["phases[0].objective.name", "clo", "sft"] for line in rest)
    assert "start  train[0] sft" in said


def test_runs_are_found_and_a_comparison_of_objectives_is_called_one(verb, folders):
    code, printed, said = verb("compare", folders[0], "sft.yaml")
    assert code == 0 and "start " not in said and "found  train[0] sft" in said
    assert printed.startswith("The recipes differ in the objective only: this is a comparison of objectives.")
    assert "Differences to clo with their 95 % intervals, by paired tests" in printed
    for line in printed.splitlines():
        assert len(line) <= 160


def test_every_format_tells_the_same_on_stdout_and_in_files(verb, folders, tmp_path):
    texts = {}
    for name, suffix in (("markdown", "md"), ("latex", "tex"), ("csv", "csv"), ("json", "json")):
        code, texts[name], said = verb("compare", *folders, "--format", name)
        assert code == 0 and said.startswith("The recipes differ in the objective only")
        path = tmp_path / f"table.{suffix}"
        code, printed, said = verb("compare", *folders, "-o", path)
        assert code == 0 and not printed and "written: " in said
        assert path.read_text() == texts[name]
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    record = json.loads(texts["json"])
    assert record == json.loads(json.dumps(langxfer.compare_runs(folders).record()))
    assert [row["score"] for row in rows] == [row["score"]["name"] for row in record["scores"]]
    assert {row["method"] for row in rows} == {"before", "clo", "sft"}
    sft = read_finished(folders[1])
    expected = {score.name: score.value for own in sft.after.values() for score in own.scores}
    assert {row["score"]: float(row["value"]) if row["value"] else None for row in rows if row["method"] == "sft"} == (
        expected
    )


def test_evaluations_of_runs_are_compared_with_the_recipes_of_the_runs(verb, folders, home):
    for arguments in ([folders[0]], [folders[1]], [folders[0], "--before"]):
        code, _, said = verb("evaluate", *arguments, "clo.yaml")
        assert code == 0, said
    found = {path.name.rpartition("-")[0]: path for path in home.glob("runs/evaluation-*")}
    own = [found[f"evaluation-{path.name}"] for path in folders]
    assert (own[0] / "run.yaml").read_text() == (folders[0] / "filled.yaml").read_text()
    before = found[f"evaluation-{folders[0].name}-before"]
    assert not (before / "run.yaml").exists()
    code, printed, _ = verb("compare", before, *own, "--format", "json")
    record = json.loads(printed)
    assert code == 0 and record["comparison_of_objectives"]
    assert record["unadapted"] == [f"{folders[0].name}-before"] and record["warnings"] == []
    mixed = langxfer.compare_runs([folders[0], own[1]])
    assert mixed.differences.of_objectives and mixed.names == ("before", "clo", folders[1].name)


def test_a_model_without_a_recipe_is_unknown(verb, folders, tiny, home):
    shutil.copytree(folders[0] / "model", home / "other", dirs_exist_ok=True)
    verb("evaluate", "other", "clo.yaml")
    (other,) = home.glob("runs/evaluation-other-*")
    code, printed, _ = verb("compare", folders[0], other)
    assert code == 0 and printed.startswith("other: measured without a recipe")


@pytest.mark.parametrize("count", [1, 2, 3, 6, 9])
def test_tables_fit_into_120_columns_and_lose_nothing(count):
    tags = ["de", "sw", "yo", "ko", "zh", "id", "ar", "ja", "fr"][:count]
    right = {tag: [1] * (5 + at) + [0] * (95 - at) for at, tag in enumerate(tags)}
    runs = [finished(name, {"belebele": shares("belebele", right)}) for name in ("sft", "sft+dpo on attention")]
    found, out = compare_finished(runs), io.StringIO()
    print_comparison(found, Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 120
    texts = Counter(part for line in lines for part in re.split(r"  +", line))
    assert all(texts[tag] for tag in tags)
    for at in range(count):
        value = f"{5 + at}.0 ± {100 * ((5 + at) * (95 - at) / 1e6) ** 0.5:.1f}"
        assert texts[value] == 2, value
    assert sum(number for text, number in texts.items() if text.startswith("+0.0 [")) == count


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clo"], "two or more runs are compared"),
        (["clo", "clo"], "each named once"),
        (["clo", "absent.yaml"], "absent.yaml is neither a file nor"),
        (["clo", "empty"], "neither a run folder (no filled.yaml) nor one that langxfer evaluate"),
        (["clo", "sft", "--baseline", "dpo"], "the baseline dpo is none of them: before, clo, sft"),
        (["clo", "sft", "--only", "mmmlu/*"], "no score has a name like mmmlu/*"),
        (["clo", "sft", "-o", "table.txt"], "expected a name that ends in .md, .csv, .tex, .json"),
        (["clo", "sft", "-o", "absent/table.md"], "cannot be written"),
        (["clo", "sft", "--published", "absent.yaml"], "absent.yaml cannot be read"),
        (["clo", "sft", "-o", "empty", "--format", "markdown"], "cannot be written: it is a folder"),
        (["clo", "sft", "--format", "html"], "html"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_sentences(verb, folders, home, arguments, said):
    (home / "empty").mkdir(exist_ok=True)
    places = {"clo": folders[0], "sft": folders[1]}
    code, printed, errors = verb("compare", *(places.get(argument, argument) for argument in arguments))
    assert code == 2 and said in " ".join(errors.split()) and not printed
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clo.yaml"], "two or more runs are compared"),
        (["clo.yaml", "clo.yaml"], "each named once"),
        (
            ["clo.yaml", "sft.yaml", "--baseline", "typo"],
            "the baseline typo is none of them: before, clo, sft, or a",
        ),
        (["clo.yaml", "sft.yaml", "--baseline", "3"], "the baseline 3 is none of them"),
        (["clo.yaml", "sft.yaml", "--published", "absent.yaml"], "absent.yaml cannot be read: No such file"),
        (["clo.yaml", "sft.yaml", "-o", "absent/table.md"], "cannot be written: there is no folder absent"),
        (["clo.yaml", "empty"], "neither a run folder (no filled.yaml) nor one that langxfer evaluate"),
        (["clo.yaml", "lost.yaml"], "error: lost.yaml data.source rowz.jsonl: no such file"),
        (["clo.yaml", "sft.yaml", "--baseline", "before", "--no-before"], "the baseline before is none of them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_recipes_do_not_decide_is_checked_before_they_run(verb, home, tmp_path, arguments, said):
    (home / "empty").mkdir(exist_ok=True)
    (home / "lost.yaml").write_text((home / "sft.yaml").read_text().replace("rows.jsonl", "rowz.jsonl"))
    code, printed, errors = verb("compare", *arguments, "--runs", tmp_path / "runs")
    assert code == 2 and said in " ".join(errors.split()) and not printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("baseline", [None, "before", "clo", "2", "clo-0123456789"])
def test_baselines_that_may_be_there(baseline):
    check_asked(2, ["clo", "sft"], ["clo-0123456789", "sft-0123456789"], baseline, None, None)


@pytest.mark.parametrize(("baseline", "before"), [("before", False), ("clo-012345678", None), ("clo-nonsense", None)])
def test_baselines_that_cannot_be_there(baseline, before):
    with pytest.raises(DataError, match=f"the baseline {baseline} is none of them: "):
        check_asked(2, ["clo", "sft"], ["clo-0123456789", "sft-0123456789"], baseline, before, None)
