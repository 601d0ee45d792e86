"""Notes of a page: what was said while it was made, and what must be read beside its scores."""

from __future__ import annotations

from collections.abc import Iterator

from langxfer.report.finished import Finished

OF_EVALUATORS = ("evaluate: ", "evaluate before: ", "evaluate after: ")


def notes_of(finished: Finished) -> Iterator[str]:
    """Each sentence once. What an evaluator said while it lacked something is gone when it lacks nothing any more."""
    yield from dict.fromkeys(message for message in _said(finished) if not message.startswith(OF_EVALUATORS))
    found: dict[tuple[str, str], list[str]] = {}
    for when in ("before", "after") if finished.kind == "run" else ("after",):
        for evaluator, note in finished.notes(when):
            found.setdefault((evaluator, note.removeprefix(f"{evaluator}: ")), []).append(when)
    for (evaluator, note), when in found.items():
        times = f", {' and '.join(dict.fromkeys(when))} training" if finished.kind == "run" else ""
        yield f"{evaluator}{times}: {note}"


def _said(finished: Finished) -> Iterator[str]:
    """Notices, in order; of a stage that was begun several times those of the last."""
    by_stage: dict[str, list[str]] = {}
    stage = ""  # where no stage is being made
    for row in finished.events():
        if row["event"] == "StageStarted":
            stage = str(row.get("stage", ""))
            by_stage[stage] = []
        elif row["event"] == "StageFinished":
            stage = ""
        elif row["event"] == "Notice":
            by_stage.setdefault(stage, []).append(row["message"])
    for messages in by_stage.values():
        yield from messages
