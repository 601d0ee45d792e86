"""Notes of a page: those of the last time that a stage was made, and what evaluators say now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langxfer.report.finished import Finished
from langxfer.report.html.notes import notes_of
from tests.report.finished_values import MANIFEST, finished

UNFINISHED = "evaluate after: alpaca_eval is unfinished: 3 of 4 contests. The next run tries the rest again."


def run(folder: Path, events: list[tuple[str, str]], *stages: dict[str, Any]) -> Finished:
    keys = {"Notice": "message"}
    rows = [{"time": "t", "event": event, keys.get(event, "stage"): text} for event, text in events]
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = finished("clo", {}, manifest={**MANIFEST, "stages": list(stages)})
    return Finished(folder, own.title, own.recipe, own.manifest, {}, {})


def test_what_was_unfinished_once_is_not_said_for_ever(tmp_path: Path) -> None:
    events = [("StageStarted", "evaluate after: alpaca_eval"), ("Notice", UNFINISHED)]
    stage: dict[str, Any] = {"stage": "evaluate after: alpaca_eval"}
    assert [*notes_of(run(tmp_path, events, stage))] == []
    stage["unfinished"] = "3 of 4 contests"
    assert [*notes_of(run(tmp_path, events, stage))] == ["alpaca_eval, after training: incomplete: 3 of 4 contests"]


def test_a_stage_that_was_begun_again_says_what_it_said_last(tmp_path: Path) -> None:
    events = [
        *[("Notice", "fetching the model"), ("StageStarted", "translate"), ("Notice", "2 of 9 rows")],
        *[("StageStarted", "translate"), ("Notice", "1 of 9 rows"), ("StageFinished", "translate")],
        *[("Notice", "fetching the model"), ("Notice", "tracker x failed")],
    ]
    assert [*notes_of(run(tmp_path, events))] == ["fetching the model", "tracker x failed", "1 of 9 rows"]


def test_what_evaluators_say_is_said_once_with_its_time(tmp_path: Path) -> None:
    note, other = "language_fidelity: 1 prompt asks for a translation", "held_out: 2 cut"
    stages = [
        {"stage": "evaluate before: language_fidelity", "notes": [note]},  # found, so no event speaks of it
        {"stage": "evaluate after: language_fidelity", "notes": [note]},
        {"stage": "evaluate after: held_out", "notes": [other]},
    ]
    said = [("Notice", "evaluate after: held_out: 2 cut")]
    assert [*notes_of(run(tmp_path, said, *stages))] == [
        "language_fidelity, before and after training: 1 prompt asks for a translation",
        "held_out, after training: 2 cut",
    ]
