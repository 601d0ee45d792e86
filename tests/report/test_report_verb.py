"""The verb report, and pages of compared runs and of sweeps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from langxfer.cli import main
from langxfer.report.crossing import Crossing, Place
from langxfer.report.finished import read_finished
from langxfer.report.seeds import Mean
from langxfer.report.sweep import Cell, Crossed, Curve, Report, Row, ScoreName
from tests.report.conftest import TITLE
from tests.report.markup import Page


def langxfer(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["langxfer", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code or 0


def told(path: Path) -> str:
    parsed = Page(path.read_text(encoding="utf-8"))
    assert not parsed.faults
    return " ".join(" ".join(parsed.text).split())


def test_the_report_of_a_run_is_made_again_where_it_is_asked_for(finished_run, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished_run.path, folder, ignore=shutil.ignore_patterns("model"))
    (folder / "report.html").unlink()
    assert langxfer(monkeypatch, "report", folder) == 0
    assert (folder / "report.html").read_bytes() == (finished_run.path / "report.html").read_bytes()
    assert langxfer(monkeypatch, "report", folder, "-o", tmp_path / "other.html") == 0
    assert (tmp_path / "other.html").read_bytes() == (folder / "report.html").read_bytes()
    assert {path.name for path in (tmp_path / "other-figures").iterdir()} == {
        path.name for path in (folder / "figures").iterdir()
    }
    assert str(tmp_path / "other.html") in capsys.readouterr().err


def test_what_is_no_folder_of_a_run_is_an_error_that_says_so(finished_run, tmp_path, monkeypatch, capsys):
    assert langxfer(monkeypatch, "report", tmp_path) == 2
    assert "neither a run folder" in capsys.readouterr().err
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.yaml").touch()
    assert langxfer(monkeypatch, "report", tmp_path / "sweep") == 2
    assert "the sweep is not finished (no sweep.json). Go on with it by the same langxfer sweep." in " ".join(
        capsys.readouterr().err.split()
    )
    assert langxfer(monkeypatch, "report", finished_run.path, finished_run.path) == 2
    assert "say where their report goes (-o FILE.html)" in capsys.readouterr().err
    assert langxfer(monkeypatch, "report", finished_run.path, "-o", tmp_path / "no" / "page.html") == 2
    assert "the report cannot be written" in capsys.readouterr().err


def test_runs_beside_each_other_begin_with_what_they_differ_in(finished_run, hostile, tmp_path, monkeypatch):
    other = tmp_path / "other"
    shutil.copytree(hostile, other)
    filled = (other / "filled.yaml").read_text()
    (other / "filled.yaml").write_text(filled.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert langxfer(monkeypatch, "report", finished_run.path, other, "-o", tmp_path / "page.html") == 0
    assert langxfer(monkeypatch, "compare", finished_run.path, other, "-o", tmp_path / "same.html") == 0
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "same.html").read_bytes()
    text = told(tmp_path / "page.html")
    assert f"tiny against {TITLE}" in text
    assert text.index("phases[0].training.learning_rate") < text.index("Values ± standard error")
    assert "0.01" in text and "0.02" in text
    for own in read_finished(finished_run.path).after["held_out"].scores:
        assert f"{own.value:.1f} ±" in text or f"{own.value:.3f} ±" in text


@pytest.fixture
def swept(finished_run, tmp_path) -> Path:
    """A sweep's folder, as the engine writes it."""
    score = next(own for own in read_finished(finished_run.path).after["held_out"].scores if own.unit == "%")
    name = ScoreName("held_out", score.name)
    mean = Mean(50.0, 40.0, 60.0, "seeds and items", 3, 4)
    rows = (
        Row({}, (Cell(name, score, mean),), before=True),
        Row({"data.limit": 200, "x": "clo"}, (Cell(name, score, mean),)),
    )
    numbers = (200.0, 400.0), (50.0, 60.0), (40.0, None), (60.0, None), (3, 1)
    curves = tuple(Curve(method, "data.limit", "held_out", score.name, "%", *numbers) for method in ("clo", "<sft>"))
    crossing = Crossing("clo", "<sft>", 400.0, 60.0, Place(300.0), Place(200.0, "below"), Place(400.0, "above"), 4, 1)
    report = Report(rows, curves, (Crossed("data.limit", "held_out", score.name, "%", crossing, True),), ("a note",))
    points = [
        {"settings": {"data.limit": 200}, "key": "k", "run": "tiny-1", "status": "done", "seconds": 3.0, "error": None},
        {
            "settings": {"data.limit": 400},
            "key": None,
            "run": None,
            "status": "failed",
            "seconds": 0.1,
            "error": "no <data>",
        },
    ]
    (tmp_path / "sweep.json").write_text(json.dumps({"title": "sizes", "points": points, **report.record()}))
    return tmp_path


def test_a_sweep_has_curves_means_crossings_and_what_failed(swept, monkeypatch):
    assert langxfer(monkeypatch, "report", swept) == 0
    text = told(swept / "report.html")
    for part in ("1 of 2 points failed", "data.limit=400: no <data>", "a note", "before training", "40.0 to 60.0"):
        assert part in text
    assert "clo data.limit 300 at or below 200 to above 400 (items alone) <sft> 400" in text
    [figure] = (path for path in (swept / "figures").iterdir() if path.suffix == ".svg")
    assert "&lt;sft&gt;" in figure.read_text() and "PolyCollection" in figure.read_text()  # a band
    assert "The figures lie as SVG and PNG" in text


def test_a_sweep_without_an_axis_has_bars(swept, monkeypatch):
    """The first measure of each evaluator, then the others; a group of bars for each language, a bar for each row."""
    values = json.loads((swept / "sweep.json").read_text())
    for row in values["table"]:
        [own] = row["scores"]
        row["scores"] = [{**own, "score": f"held_out/{name}"} for name in ("bits/de", "bits/en", "margin/de-over-en")]
    values["table"][1]["label"] = "<sft>"
    (swept / "sweep.json").write_text(json.dumps({**values, "curves": [], "crossings": []}))
    assert langxfer(monkeypatch, "report", swept) == 0
    text = told(swept / "report.html")
    assert "Scores" in text and "paired tests tell methods apart" in text and "Curves" not in text
    assert (
        text.index("held_out/bits/en (%)") < text.index("1 more scores") < text.index("held_out/margin/de-over-en (%)")
    )
    figures = {path.name: path.read_text() for path in (swept / "figures").iterdir() if path.suffix == ".svg"}
    assert sorted(figures) == ["held-out-bits.svg", "held-out-margin.svg"]
    assert all("&lt;sft&gt;" in own and "before training" in own for own in figures.values())
    bits, margin = figures["held-out-bits.svg"], figures["held-out-margin.svg"]
    assert ">de<" in bits and ">en<" in bits and ">de-over-en<" in margin and ">en<" not in margin


def test_a_sweep_with_nothing_to_draw_speaks_of_no_figures(swept, monkeypatch):
    values = json.loads((swept / "sweep.json").read_text())
    (swept / "sweep.json").write_text(json.dumps({**values, "table": [], "curves": [], "crossings": []}))
    assert langxfer(monkeypatch, "report", swept) == 0
    text = told(swept / "report.html")
    assert "there is nothing to draw" in text and "SVG" not in text
    assert not (swept / "figures").exists()


def test_a_damaged_sweep_is_an_error_that_says_what_to_do(swept, monkeypatch, capsys):
    (swept / "sweep.json").write_text("{}")
    assert langxfer(monkeypatch, "report", swept) == 2
    assert "The same langxfer sweep writes it anew" in " ".join(capsys.readouterr().err.split())


def test_an_evaluation_has_scores_and_answers_and_no_before(finished_run, tmp_path, monkeypatch):
    own = read_finished(finished_run.path)
    (tmp_path / "manifest.json").write_text(
        json.dumps(
            {
                "model": {"name": "a-model", "source": "org/a-model"},
                "evaluators": {
                    "language_fidelity": {"options": {"name": "language_fidelity"}, "seconds": 61, "peak_memory": 10**9}
                },
                **{name: own.manifest[name] for name in ("versions", "hardware")},
                "command": ["langxfer", "evaluate", "org/a-model", "language_fidelity", "--set", "x=[1, 2]"],
                "plugins": [{"file": "own.py", "sha256": "0" * 64}],
            }
        )
    )
    scores = json.loads((finished_run.path / "scores.json").read_text())["after"]["language_fidelity"]
    rows = [json.dumps({"evaluator": "language_fidelity", **score}) for score in scores]
    (tmp_path / "scores.jsonl").write_text("\n".join(rows) + "\n")
    for kind in ("rows", "generations"):
        source = finished_run.path / "generations" / f"language_fidelity.after.{kind}.jsonl"
        shutil.copy(source, tmp_path / f"language_fidelity.{kind}.jsonl")
    assert langxfer(monkeypatch, "report", tmp_path) == 0
    text = told(tmp_path / "report.html")
    assert (
        "Report of an evaluation a-model" in text
        and "langxfer evaluate org/a-model language_fidelity --set 'x=[1, 2]' --plugin own.py" in text
    )
    assert "1 min 01 s" in text and own.answers("language_fidelity")[0]["prompt"] in text
    assert "before" not in text[: text.index("Answers")] and "Training" not in text
