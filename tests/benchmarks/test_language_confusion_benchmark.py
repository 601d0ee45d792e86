"""The averages of the Language Confusion Benchmark on its own completions of Llama 3 70B-Instruct."""

from __future__ import annotations

import pytest

from tests.benchmarks.language_confusion import COMPLETIONS, DATA, PUBLISHED, average, measure, packaged_model, table


@pytest.mark.skipif(not (DATA / COMPLETIONS).exists(), reason="no completions (../shared/data/language-confusion)")
def test_pass_rates_are_those_of_the_paper() -> None:
    pytest.importorskip("jieba")
    pytest.importorskip("fugashi")
    model = packaged_model()
    found = measure([*([str(model)] if model else []), "py3langid"])
    for name, tasks in found["identifiers"].items():
        for task, published in PUBLISHED.items():
            assert abs(tasks[task]["average"]["lpr"] - published) < (1 if name.endswith(".ftz") else 3), (name, task)
    assert "published LPR" in table(found)
    for shares in found["langxfer"].values():
        assert sum(shares.values()) == pytest.approx(100)


def test_an_average_leaves_out_what_is_not_there() -> None:
    assert average([{"lpr": 10.0}, {"lpr": 30.0, "wpr": 80.0}]) == {"lpr": 20.0, "wpr": 80.0}
