"""The time of the model's answers is nobody's own where several evaluators use them."""

from __future__ import annotations

import pytest

from langxfer.report.stage_times import stage_times


def facts(evaluators: int) -> dict[str, object]:
    return {"seconds": 210.0, "peak_memory": 7, "answering": {"seconds": 200.0, "evaluators": evaluators}}


@pytest.mark.parametrize("when", ["evaluate after: ", ""])
def test_answers_for_several_are_a_line_of_their_own(when: str) -> None:
    assert [*stage_times(f"{when}quiz", facts(3))] == [
        (f"{when}answers for 3 evaluators", 200.0, 7),
        (f"{when}quiz", 10.0, None),
    ]


def test_answers_for_one_are_its_own_and_other_stages_are_as_they_are() -> None:
    assert [*stage_times("evaluate after: quiz", facts(1))] == [("evaluate after: quiz", 210.0, 7)]
    assert [*stage_times("encode", {"seconds": 1.0, "peak_memory": 2})] == [("encode", 1.0, 2)]
