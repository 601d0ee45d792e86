"""Tables of several runs: what is compared, with what, and what is said where it cannot be."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import binomtest

from langxfer.components import Evaluation, Score
from langxfer.errors import DataError
from langxfer.report.compare_runs import compare_finished, compare_runs
from langxfer.report.method_formats import FORMATS
from langxfer.report.methods import Cell, ComparedRuns
from langxfer.report.published import read_published
from langxfer.report.score_names import languages_of, split_name
from langxfer.statistics import wilson
from tests.report.finished_values import HALF, MOST, finished, shares

SFT = {"phases.0.objective": {"name": "sft"}}


def cells(found: ComparedRuns) -> dict[tuple[str, str], Cell]:
    """By method and name of the score."""
    return {(row.method, cell.score.name): cell for _, _, row, _, cell in found.cells()}


@pytest.fixture
def two() -> list:
    """SFT is as good in one language and worse in the other."""
    clo = {"belebele": shares("belebele", {"de": MOST, "sw": MOST})}
    sft = {"belebele": shares("belebele", {"de": MOST[::-1], "sw": [0] * 20})}
    before = {"belebele": shares("belebele", {"de": HALF, "sw": HALF})}
    return [finished("clo", clo, before=before), finished("sft", sft, SFT, before=dict(before))]


def test_methods_are_rows_languages_are_columns_and_differences_are_tested(two):
    found = compare_finished(two)
    (table,) = found.tables
    assert (table.evaluator, table.columns) == ("belebele", ("de", "sw"))
    (measure,) = table.measures
    assert [row.method for row in measure.rows] == ["before", "clo", "sft"] == list(found.names)
    assert measure.heading == "belebele (%) ↑"
    by = cells(found)
    assert by["clo", "belebele/sw"].value == "90.0 ± 6.7" and by["clo", "belebele/sw"].change == ""
    sw, de = by["sft", "belebele/sw"].comparison, by["sft", "belebele/de"].comparison
    assert sw.effect.difference == -90 and sw.effect.p == pytest.approx(binomtest(0, 18).pvalue)
    assert de.effect.difference == 0 and de.effect.p == 1
    assert by["sft", "belebele/sw"].change.startswith("-90.0 [") and by["sft", "belebele/sw"].change.endswith(" *")
    assert not by["sft", "belebele/de"].change.endswith("*")
    # Holm over everything that is shown: two scores of two methods.
    assert sw.adjusted_p == pytest.approx(4 * sw.effect.p)
    assert "Differences to clo" in found.tests and "(McNemar): 4 comparisons" in found.tests


def test_tests_are_corrected_for_what_is_shown(two):
    found = compare_finished(two, before=False, only=["*/sw"])
    assert list(cells(found)) == [("clo", "belebele/sw"), ("sft", "belebele/sw")]
    own = cells(found)["sft", "belebele/sw"].comparison
    assert own.adjusted_p == own.effect.p
    with pytest.raises(DataError, match="no score has a name like held"):
        compare_finished(two, only=["held*"])
    assert compare_finished(two, before=False, only="*/sw") == found


@pytest.mark.parametrize("wanted", ["sft", "2", 2, "sft-0123"])
def test_the_baseline_is_named_by_title_folder_or_number(two, wanted):
    found = compare_finished(two, baseline=wanted)
    assert found.baseline == "sft" and cells(found)["clo", "belebele/sw"].comparison.effect.difference == 90


def test_the_model_before_training_may_be_the_baseline_and_a_wrong_name_is_an_error(two):
    assert compare_finished(two, baseline="before").baseline == "before"
    for wanted in ("3", "0", "dpo"):
        with pytest.raises(DataError, match="is none of them: before, clo, sft, or a number from 1 to 2"):
            compare_finished(two, baseline=wanted)


def test_what_was_measured_otherwise_is_not_comparable_and_stops_nothing(two):
    two[0].after["mmmlu"] = shares("mmmlu", {"de": MOST}, how="shots:0")
    two[1].after["mmmlu"] = shares("mmmlu", {"de": HALF}, how="shots:5")
    found = compare_finished(two)
    assert cells(found)["sft", "mmmlu/de"].change == "not comparable"
    assert cells(found)["sft", "mmmlu/de"].value == "50.0 ± 11.2"
    assert cells(found)["sft", "belebele/sw"].comparison.shown
    (note,) = (note for note in found.notes if "mmmlu" in note)
    assert note.startswith("mmmlu/de: sft is not comparable with clo: ") and "shots (0, 5)" in note


def test_other_items_are_not_comparable_and_named(two):
    two[1].after["belebele"] = shares("belebele", {"de": MOST, "sw": [0] * 20}, start=5)
    found = compare_finished(two)
    assert {cells(found)["sft", f"belebele/{tag}"].change for tag in ("de", "sw")} == {"not comparable"}
    assert "20 and 20 items and have 15 in common" in " ".join(found.notes)
    assert cells(found)["before", "belebele/de"].comparison is not None


def test_languages_that_one_has_alone_leave_the_others_comparable(two):
    two[1].after["belebele"] = shares("belebele", {"de": MOST, "zh": HALF})
    found = compare_finished(two)
    by = cells(found)
    assert by["sft", "belebele/de"].comparison.effect is not None
    assert by["sft", "belebele/zh"].comparison is None and by["sft", "belebele/zh"].change == ""
    assert found.tables[0].columns == ("de", "sw", "zh")
    assert "belebele/zh: clo has no such score, so there is no difference to it." in found.notes


def of_pairs(name: str, targets: Sequence[str], items: str) -> Evaluation:
    """As held_out: rows have no language of their own, and say of which scores they are."""
    ids = [f"row{n}/{tag}" for tag in targets for n in range(6)]
    scores = [f"{name}/bits/{tag}" for tag in targets]
    rows = [{"id": own, "scores": {f"{name}/bits/{own[-2:]}": float(own[3])}} for own in ids]
    return Evaluation([Score(own, 2.5, 0.5, 6, f"items:{items}", "bits", False) for own in scores], rows)


def test_items_of_a_score_are_paired_though_one_evaluation_has_others_too(two):
    for run, targets in zip(two, (["de"], ["de", "fr"]), strict=True):
        run.after["held_out"] = of_pairs("held_out", targets, "i")
        run.before["held_out"] = of_pairs("held_out", targets, "i")
    found = compare_finished(two)
    by = cells(found)
    assert by["sft", "held_out/bits/de"].comparison.effect.n == 6
    assert by["before", "held_out/bits/de"].comparison.effect.n == 6
    assert by["before", "held_out/bits/fr"].value == by["sft", "held_out/bits/fr"].value
    assert not [note for note in found.notes if "common" in note]


def test_the_same_texts_under_other_names_are_called_that(two):
    two[0].after["held_out"], two[1].after["held_out"] = (
        of_pairs("held_out", ["de"], "i"),
        of_pairs("held_out", ["fr"], "i"),
    )
    for run in two:
        own = run.after["held_out"]
        score = replace(own.scores[0], name="held_out/bits/en")
        rows = [{**row, "scores": {"held_out/bits/en": 2.5}} for row in own.rows]
        run.after["held_out"] = Evaluation([score], rows)
    (note,) = (note for note in compare_finished(two, before=False).notes if "not comparable" in note)
    assert note.endswith("the same texts under other names (row0/de and row0/fr), so they cannot be paired.")


def test_a_difference_without_a_test_is_in_every_format(two):
    for run, value in zip(two, (2.0, 3.5), strict=True):
        run.after["tea"] = Evaluation([Score("tea/strength", value, None, 1, "s:1", "", None)], [])
    found = compare_finished(two)
    (row,) = (row for row in csv.DictReader(io.StringIO(FORMATS["csv"](found))) if row["difference"] == "1.5")
    assert (row["method"], row["score"], row["p"]) == ("sft", "tea/strength", "")
    told = [own for own in json.loads(FORMATS["json"](found))["scores"] if own["method"] == "sft"]
    assert {own["score"]["name"]: own["difference"] for own in told}["tea/strength"] == 1.5


def test_intervals_of_shares_end_where_shares_end(two):
    sure = cells(compare_finished(two))["sft", "belebele/sw"]
    assert sure.value == "0.0 ± 0.0" and sure.interval == pytest.approx([100 * end for end in wilson(0, 20, 0.95)])
    assert sure.record()["interval"] == list(sure.interval)


def test_a_score_without_rows_has_a_bare_difference_and_a_note(two):
    for run, value in zip(two, (2.0, 3.5), strict=True):
        run.after["tea"] = Evaluation([Score("tea/strength", value, None, 1, "s:1", "", None)], [])
    found = compare_finished(two)
    assert cells(found)["sft", "tea/strength"].change == "+1.500"
    assert any(note.startswith("tea/strength: the difference is shown without a test") for note in found.notes)
    assert [table.columns for table in found.tables] == [("de", "sw"), ("strength",)]


def test_what_evaluators_said_of_shown_scores_is_repeated(two):
    for run in two:
        stages = ({"stage": f"evaluate after: {name}", "notes": [f"{name} is odd"]} for name in ("belebele", "mmmlu"))
        run.manifest["stages"].extend([*stages, {"stage": "evaluate before: belebele", "notes": ["below chance"]}])
    notes = ("clo, sft: belebele is odd", "before: below chance")
    assert compare_finished(two).notes == notes and compare_finished(two, before=False).notes == notes[:1]


def test_the_row_before_training_needs_one_start_and_equal_measurements(two):
    two[1].before["belebele"] = shares("belebele", {"de": HALF, "sw": HALF}, how="shots:5")
    found = compare_finished(two)
    assert found.names == ("clo", "sft")
    assert any("The model before training is not shown: by belebele" in note for note in found.notes)
    with pytest.raises(DataError, match="cannot be a row: by belebele"):
        compare_finished(two, before=True)
    other = finished("other", two[0].after, {"manifest.model.weights": "w2"}, before=two[0].before)
    with pytest.raises(DataError, match="not all are known to start from the same model"):
        compare_finished([two[0], other], before=True)
    assert compare_finished(two, before=False).notes == ()


def test_equal_titles_are_told_apart_by_their_folders(two):
    first, second = two
    assert compare_finished([first, replace(second, title="clo")]).names == ("before", "clo-0123", "sft-0123")
    assert compare_finished([first, replace(second, title="before")]).names == ("before", "clo", "sft-0123")
    elsewhere = replace(second, title="clo", path=Path("elsewhere") / first.path.name)
    assert compare_finished([first, elsewhere]).names == (
        *("before", str(first.path.resolve()), str(elsewhere.path.resolve())),
    )


def test_one_run_is_not_compared(tmp_path):
    for paths in ([tmp_path], [], [tmp_path, tmp_path / "x" / ".."]):
        with pytest.raises(DataError, match="two or more runs are compared, each named once"):
            compare_runs(paths)


@pytest.mark.parametrize(
    ("name", "measure", "column"),
    [
        ("belebele/de", "", "de"),
        ("belebele/zh-Hant/cut", "cut", "zh-Hant"),
        ("held_out/margin/en-over-de", "margin", "en-over-de"),
        ("translation_quality/zh-Hant-en/chrf++", "chrf++", "zh-Hant-en"),
        ("perplexity/bits_per_byte/sw", "bits_per_byte", "sw"),
        ("mmmlu/en/category/history", "category/history", "en"),
        ("noted", "", "score"),
        ("lm_eval/hellaswag/acc", "", "hellaswag/acc"),
    ],
)
def test_names_of_scores_say_measure_and_language(name, measure, column):
    assert split_name(name) == (measure, column)
    spoken = {"en-over-de": ("en", "de"), "zh-Hant-en": ("zh-Hant", "en"), "score": (), "hellaswag/acc": ()}
    assert languages_of(name) == spoken.get(column, (column,))


def test_measures_with_other_columns_are_tables_of_their_own(two):
    for run in two:
        scores = [
            Score(f"held_out/{name}", 1.0, None, 4, "s:1", unit, better)
            for name, unit, better in (
                *(("bits/en", "bits", False), ("bits/de", "bits", False), ("margin/en-over-de", "nats", True)),
                *(("margin/de-over-en", "nats", True), ("accuracy/en-over-de", "%", None)),
                ("accuracy/de-over-en", "%", None),
            )
        ]
        run.after["held_out"] = Evaluation(scores, [])
    tables = [table for table in compare_finished(two).tables if table.evaluator == "held_out"]
    assert [(table.columns, [measure.heading for measure in table.measures]) for table in tables] == [
        (("en", "de"), ["bits ↓"]),
        (("en-over-de", "de-over-en"), ["margin (nats) ↑", "accuracy (%)"]),
    ]
    assert [table.title for table in tables] == ["held_out: bits", "held_out: margin, accuracy"]
    assert {table.title for table in compare_finished(two).tables if table.evaluator == "belebele"} == {"belebele"}


NUMBER = '{score: belebele/sw, model: org/model, method: CLO, value: 56.3, standard_error: 1.65, unit: "%", source: t2}'


HEADER = "score,model,method,value,source\n"


def published(two, tmp_path, text, name="published.yaml"):
    (tmp_path / name).write_text(text)
    return compare_finished(two, published=read_published(tmp_path / name))


def test_published_numbers_are_shown_and_never_tested(two, tmp_path):
    text = f"numbers:\n- {NUMBER}\n- {NUMBER.replace('org/model', 'org/other')}\nnotes:\n"
    text += "- {method: CLO, text: the tables disagree}\n- {method: SFT, text: of another}\n- {text: greedy}\n"
    found = published(two, tmp_path, text)
    (row,) = (row for _, _, row, _, _ in found.cells() if row.source)
    assert row.method == "CLO (published)" and row.source == "t2" and list(row.cells) == ["sw"]
    assert row.cells["sw"].value == "56.3 ± 1.6" and row.cells["sw"].change == ""
    assert found.notes == ("the tables disagree", "greedy")
    assert found.tests == compare_finished(two).tests
    csv = "score,model,method,value,standard_error,unit,source\nbelebele/sw,org/model,CLO,56.3,1.65,%,t2\n"
    again = published(two, tmp_path, csv + "belebele/sw,org/other,CLO,56.3,,%,t2\n", "published.csv")
    assert again.tables == found.tables


def test_numbers_of_models_that_were_adapted_to_another_language_are_left_out(two, tmp_path):
    numbers = [NUMBER.replace("source", f"language: {tag}, source") for tag in ("yo", "de")]
    two = [
        replace(run, recipe={**run.recipe, "data": {**run.recipe["data"], "target_languages": ["de"]}}) for run in two
    ]
    notes = "notes: [{language: yo, text: of Yoruba}, {language: de, text: of German}]"
    found = published(two, tmp_path, f"numbers: [{', '.join(numbers)}]\n{notes}")
    assert [row.method for _, _, row, _, _ in found.cells() if row.source] == ["CLO (published)"]
    assert found.notes == ("of German",)


def test_one_number_of_a_method_is_given_once(two, tmp_path):
    again = NUMBER.replace("56.3", "57.1")
    with pytest.raises(DataError, match=r"numbers\[1\] is of the same score and method as numbers\[0\]. Keep one"):
        published(two, tmp_path, f"numbers:\n- {NUMBER}\n- {again}\n")


def test_where_nothing_published_fits_it_says_so(two, tmp_path):
    found = published(two, tmp_path, f"numbers: [{NUMBER.replace('source', 'language: yo, source')}]")
    assert found.notes == (
        "The published numbers of org/model (published.yaml) are of models that were adapted to yo.",
    )
    found = published(two, tmp_path, f"numbers: [{NUMBER.replace('org/model', 'org/other')}]")
    assert found.notes == ("There are no published numbers of org/model in published.yaml.",)
    found = published(two, tmp_path, f"numbers: [{NUMBER.replace('sw', 'yo')}]")
    assert found.notes == ("None of the published numbers of org/model (published.yaml) is of a score that is shown.",)
    with pytest.raises(DataError, match="published belebele/sw of CLO is in points, and ours in %"):
        published(two, tmp_path, f"numbers: [{NUMBER.replace('%', 'points')}]")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "p.yaml",
            "numbers:\n- {score: x, model: y}\n",
            r"^\S*p.yaml:2  numbers\[0\].method is missing; expected numb",
        ),
        ("p.yaml", "numbers: [", "not valid YAML"),
        ("p.yaml", "", "p.yaml  The file is empty; expected numbers with score"),
        ("p.yaml", "- 1\n", "p.yaml  The file is a list of 1; expected numbers with score"),
        ("p.yaml", "numbers: []\nnote: []\n", "p.yaml:2  note is not known here; expected numbers"),
        ("p.yaml", "numbers: []\nnumbers: []\n", "p.yaml:2  numbers is given twice, first in line 1"),
        ("p.yaml", "numbers: 7\n", r"p.yaml:1  numbers is 7; expected a list\."),
        ("p.yaml", "numbers: [5]\n", r"p.yaml:1  numbers\[0\] is 5; expected a mapping\."),
        ("p.yaml", f"numbers:\n- {NUMBER.replace('56.3', '.nan')}\n", r"value is \.nan; expected a finite number\."),
        ("p.yaml", f"numbers:\n- {NUMBER.replace('56.3', '[]')}\n", r"value is an empty list; expected a number\.$"),
        ("p.yaml", f"numbers:\n- {NUMBER.replace('t2', '2')}\n", r"source is 2; expected text\.$"),
        ("p.csv", f"{HEADER}x,y,z,high,t\n", r'p.csv:2  numbers\[0\].value is "high"; expected a number\.$'),
        ("p.csv", f"{HEADER}x,y,z,inf,t\n", r'p.csv:2  numbers\[0\].value is "inf"; expected a finite number\.$'),
        ("p.csv", f"{HEADER}x,y,z,1,t,u\n", r"p.csv:2  The row has more cells than the header"),
        ("p.csv", "", "p.csv  The file is empty"),
        ("p.csv", HEADER, "p.csv  The file is empty"),
    ],
)
def test_what_is_no_file_of_published_numbers_is_said_with_its_place(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        read_published(tmp_path / name)
    with pytest.raises(DataError, match=rf"absent-{name} cannot be read: No such file or directory\.$"):
        read_published(tmp_path / f"absent-{name}")
    (tmp_path / name).write_bytes(b"numbers: \xff")
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 9\)"):
        read_published(tmp_path / name)


def test_the_record_is_json_with_everything(two):
    found = compare_finished(two)
    record = json.loads(json.dumps(found.record()))
    assert record["comparison_of_objectives"] and record["baseline"] == "clo"
    (own,) = (row for row in record["scores"] if (row["method"], row["column"]) == ("sft", "sw"))
    assert own["evaluator"] == own["measure"] == "belebele" and own["comparison"]["effect"]["difference"] == -90
    assert own["score"]["signature"].startswith("shots:0") and not own["published"]
