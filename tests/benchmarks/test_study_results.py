"""What is kept of the study's runs gives the tables that the runs give, and holds no text."""

from __future__ import annotations

import json

from langxfer.report.compare_runs import compare_finished
from langxfer.report.sweep import report_of
from tests.benchmarks.study import results
from tests.report.finished_values import HALF, MOST, finished, shares


def points():
    runs = (finished(f"r{n}", {"belebele": shares("belebele", {"de": own})}) for n, own in enumerate([HALF, MOST] * 2))
    named = zip(("SFT", "CLO", "SFT", "CLO"), (0, 0, 1, 1), runs, strict=True)
    return [({"name": name, "seed": seed}, run) for name, seed, run in named]


def test_what_is_kept_gives_the_same_tables_and_no_texts() -> None:
    own = points()
    for _, run in own:
        for row in run.after["belebele"].rows:
            row["answer"] = "a text of somebody"
    texts = [json.dumps(results.kept(settings, run)) for settings, run in own]
    assert not any("a text of somebody" in text for text in texts)
    again = [results.restored(json.loads(text)) for text in texts]
    assert report_of(again) == report_of(own)
    first, second = ([run for _, run in found[:2]] for found in (own, again))
    assert compare_finished(second).record() == compare_finished(first).record()
    printed = "\n".join(results.tables(again, "SFT"))
    assert "| SFT | CLO |" in printed and "Seed 1" in printed and "| SFT, seed=0 | 0 | 0 |" in printed


def test_methods_are_compared_at_each_size_and_corrected_together() -> None:
    sizes = zip((100, 100, 400, 400), ("sft", "clo") * 2, [run for _, run in points()], strict=True)
    own = [({"phases[0].objective": name, "data.limit": size}, run) for size, name, run in sizes]
    lines = list(results.against(own, ("sft", "clo"), "data.limit"))
    assert lines[0] == "| clo - sft | 100 | 400 |" and lines[-1] == "2 comparisons"
    first, second = lines[2].split(" | ")[1:]
    assert first.startswith("+40.0 [") and second.startswith("+40.0 [") and lines[2].startswith("| belebele/de |")


def test_finished_points_of_a_sweep_are_kept_under_their_names(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(results, "read_finished", lambda path: points()[0][1])
    rows = [
        {"settings": {"name": "SFT, all", "seed": 1}, "run": "a", "status": "done"},
        {"settings": {"name": "CLO"}, "run": "b", "status": "waiting"},
    ]
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "points.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path,) = results.keep("methods", sweep)
    assert path.name == "sft-all-1.json.gz"
    content = path.read_bytes()
    assert results.keep("methods", sweep) == [path] and path.read_bytes() == content
    ((settings, _),) = results.read("methods")
    assert settings == {"name": "SFT, all", "seed": 1}
