"""What a stage took, and what of it the model's answers took that several evaluators share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def stage_times(label: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, float, int | None]]:
    """Lines of label, seconds and peak memory in bytes, from the facts of a stage's manifest.

    The first evaluation that is made has the model answer what all of them ask. That is a line of its own, so that
    nobody takes it for the cost of the first evaluator; the memory is the model's.
    """
    seconds, memory = facts["seconds"], facts["peak_memory"]
    shared = facts.get("answering")
    if shared is None or shared["evaluators"] < 2:
        yield label, seconds, memory
        return
    when, _, _ = label.rpartition(": ")
    yield f"{when}: answers for {shared['evaluators']} evaluators".removeprefix(": "), shared["seconds"], memory
    yield label, max(seconds - shared["seconds"], 0.0), None
