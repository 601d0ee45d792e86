"""Pages say what the run says, load nothing, and stay pages whatever a model writes."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from langxfer.report.comparison import Comparison
from langxfer.report.finished import read_finished
from langxfer.report.html.answers import LONGEST, SHOWN, answer_groups
from langxfer.report.html.curves import POINTS, curves
from langxfer.report.html.page import run_page
from langxfer.report.html.scores import scores_of
from langxfer.report.html.writing import write_run_report
from langxfer.report.tables import format_score
from tests.report.conftest import ARABIC, CHINESE, SCRIPT, TITLE
from tests.report.markup import Page


@pytest.fixture(scope="module")
def page(hostile: Path) -> str:
    write_run_report(read_finished(hostile), hostile / "report.html")
    return (hostile / "report.html").read_text(encoding="utf-8")


def test_a_run_has_its_report_with_scores_curves_answers_data_cost_and_recipe(finished_run):
    text = (finished_run.path / "report.html").read_text(encoding="utf-8")
    parsed = Page(text)
    assert not parsed.faults
    told = " ".join(" ".join(parsed.text).split())
    for own in finished_run.after.values():
        for score in own:
            assert score.name in told and format_score(score) in told and score.signature in told
    for stage in finished_run.outcomes:
        assert stage.stage.label in told
    for heading in ("What was run", "What changed", "Training", "Answers before and after", "Time and memory"):
        assert heading in told
    recipe = (finished_run.path / "filled.yaml").read_text()
    assert " ".join(recipe.split()) in told
    for title in ("Loss", "Terms of the loss", "Margins", "Gradient norm", "Learning rate"):
        assert f">{title}</title>" in text
    names = {path.name for path in (finished_run.path / "figures").iterdir()}
    assert {"loss.svg", "loss.png", "margins.svg", "held-out.png"} <= names
    assert len(names) == 2 * len(parsed.all("figure"))


def test_what_a_model_writes_stays_text(page):
    parsed = Page(page)
    assert not parsed.faults
    assert len(parsed.all("script")) == 1 and not parsed.all("img")
    told = "".join(parsed.text)
    assert SCRIPT in told and TITLE in told and ARABIC in told and CHINESE in told
    assert "endless-" * 10 in told
    assert page.count("endless-") <= LONGEST // len("endless-") + 1
    assert "The first 1,200 of 100,000 characters." in told
    assert len(page) < 600_000


def test_nothing_is_loaded_and_no_other_script_may_run(page):
    head = page[: page.index("</head>")]
    assert "default-src 'none'" in head and "script-src 'sha256-" in head and "unsafe-eval" not in head
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    assert not [found for found in re.findall(r"url\(([^)]*)\)", page) if not found.startswith("#")]
    assert "://" not in page.replace(re.search(r"<main>.*</main>", page, re.DOTALL)[0], "")


def test_verdicts_are_words_and_languages_are_marked(page):
    parsed = Page(page)
    verdicts = [attributes["data-verdicts"].split() for attributes in parsed.all("article")]
    assert [own[-1] for own in verdicts[:5]] == ["wrong", "mixed", "wrong", "wrong", "empty"]
    told = "".join(parsed.text)
    assert all(word in told for word in ("✗ wrong", "◐ mixed", "∅ empty", "taken for Arabic", "(empty)"))
    texts = [own for own in parsed.all("div") if own.get("class") == "text"]
    assert texts and all(own["dir"] == "auto" for own in texts)
    assert {"ar", "zh"} <= {own.get("lang") for own in texts}


def test_it_can_be_read_without_its_script_and_by_those_who_do_not_see(page):
    parsed = Page(page)
    search = [own for own in parsed.all("div") if own.get("class") == "search"]
    assert [("hidden" in own) for own in search] == [True]  # only the script can use it
    assert all("hidden" not in own for tag, own in parsed.elements if tag != "div")
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(own.get("scope") for own in parsed.all("th"))
    drawn = [own for own in parsed.all("svg")]
    assert drawn and all(own["role"] == "img" and own["aria-labelledby"] for own in drawn)
    names = {own["id"] for own in parsed.all("title") + parsed.all("desc") if "id" in own}
    assert all(set(own["aria-labelledby"].split()) <= names for own in drawn)
    assert all(not own["href"].startswith("#") or own["href"][1:] in page for own in parsed.all("a"))


def test_texts_that_are_not_in_another_language_are_not_counted_as_if_they_were(hostile, tmp_path):
    shutil.copytree(hostile, tmp_path / "run")
    path = tmp_path / "run" / "translation.json"
    told = json.loads(path.read_text())
    (*_, part) = told["pairs"][0]["parts"]
    part["languages"], part["detected"] = {"right": 393, "too_short": 39, "wrong": 7, "unknown": 4}, {"nn": 7}
    for other in told["pairs"][0]["parts"][:-1]:
        other["languages"] = {}
    path.write_text(json.dumps(told))
    (pair,) = run_page(read_finished(tmp_path / "run")).translated
    assert pair.verdicts == ("too short", "wrong", "unknown")
    assert pair.languages == ((part["part"], part["texts"], 100 * 393 / 443, (39, 7, 4), "Norwegian Nynorsk (7)"),)


def test_a_run_is_repeated_from_its_filled_recipe(finished_run, tmp_path):
    run, *rest = run_page(read_finished(finished_run.path)).commands[1:]
    assert run.startswith("langxfer run filled.yaml") and not rest


def test_the_same_run_gives_the_same_bytes(hostile, page, tmp_path):
    write_run_report(read_finished(hostile), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    for path in (hostile / "figures").iterdir():
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes()


def test_many_answers_are_counted_and_the_first_are_shown(hostile, tmp_path):
    for when in ("before", "after"):
        path = hostile / "generations" / f"language_fidelity.{when}.generations.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        (tmp_path / path.name).write_text(
            "".join(json.dumps({**rows[0], "id": f"{n}"}) + "\n" for n in range(3 * SHOWN))
        )
    finished = read_finished(hostile)
    (hostile / "generations").rename(hostile / "kept")
    try:
        tmp_path.rename(hostile / "generations")
        [group] = answer_groups(finished)
    finally:
        (hostile / "generations").rename(tmp_path)
        (hostile / "kept").rename(hostile / "generations")
    assert (group.total, len(group.exchanges)) == (3 * SHOWN, SHOWN)
    assert [own.id for own in group.exchanges] == [f"{n}" for n in range(SHOWN)]


def test_what_is_said_of_changes_follows_the_tests(finished_run):
    finished = read_finished(finished_run.path)
    found = scores_of(finished)
    tested = [own for own in finished_run.comparisons if own.effect is not None]
    shown = [own for own in tested if own.shown]
    assert found.summary.startswith(f"{len(tested)} scores tested")
    assert [row.comparison for row in found.changes] == sorted(
        shown, key=lambda own: ("better", "worse", "different").index(own.verdict)
    )
    assert found.tested and found == scores_of(finished, finished_run.comparisons)
    untested = [Comparison(own.first, own.second, untested="too few items (1)") for own in finished_run.comparisons]
    assert scores_of(finished, untested).summary == "No change could be tested: too few items (1)."


def test_long_training_is_drawn_by_means_with_a_band():
    rows = [{"phase": 0, "step": n + 1, "loss": float(n % 2)} for n in range(10 * POINTS)]
    drawn = curves(rows)[0][0]
    assert "mean of 10 steps: 0.5 at 5.5, 0.5 at" in drawn.description
    assert len(drawn.svg) < 60_000


def test_phases_and_metrics_of_any_objective_are_drawn():
    rows = [
        {"phase": phase, "step": step, "loss": 1.0, "my_term": 2.0, "margin_x": 0.1, "tokens": 3}
        for phase in (0, 1)
        for step in (1, 2)
    ]
    found = curves(rows)
    assert [[figure.title for figure in own] for own in found.values()] == 2 * [
        ["Loss", "Terms of the loss", "Margins"]
    ]
    assert "beta × nats" in found[0][2].svg
    assert "my_term" in found[0][1].svg and "tokens" not in "".join(own.svg for own in found[0])
