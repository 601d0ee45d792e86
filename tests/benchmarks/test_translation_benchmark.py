"""The translation benchmark: what the quick cut cuts, and that its result says so."""

from __future__ import annotations

import json
from typing import Any

from tests.benchmarks import translation
from tests.benchmarks.translation import INT8, TURNS, Extent, arguments, summary, table
from tests.benchmarks.translation_worker import Job

PROMISED = (
    "rate_vs_ctranslate2",
    "rate_vs_transformers_int8",
    "rate_vs_transformers_fp32",
    "cached_segments_per_second",
    "peak_memory_gb",
)


def result(*given: str) -> dict[str, Any]:
    """A summary of turns of which each takes one second, and makes ten tokens more than the one before."""
    extent = Extent.of(arguments(given))
    found = {
        turn: [{"seconds": 1.0, "segments": 8, "tokens": 10.0 * (1 + number), "peak": 2e9}] * extent.rounds
        for number, turn in enumerate(TURNS)
    }
    job = Job("", "", "", "", 2, extent.length, 5, 2048, extent.batch_rows)
    ready = {"cached_segments_per_second": 7.0, "peak_memory_gb": 0.5}
    return summary(found, {}, {"segments": 600, "seconds": 0.5}, ready, job, extent)


def test_the_quick_cut_has_the_same_keys_and_says_what_it_is() -> None:
    quick, whole = result("--quick"), result()
    assert [*quick] == [*whole] and (*quick,)[:5] == PROMISED
    assert (quick["quick"], quick["rounds"], whole["quick"], whole["rounds"]) == (True, 1, False, 3)
    assert quick["model"]["width"] < whole["model"]["width"]
    assert quick["tokens_per_translation"] < whole["tokens_per_translation"]
    assert "not for conclusions" in table(quick) and "not for conclusions" not in table(whole)
    assert json.loads(json.dumps(quick)) == quick


def test_ratios_are_of_rates() -> None:
    found = result("--rounds", "2")
    assert found["rate_vs_ctranslate2"] == 10 / 20
    assert (found["rate_vs_transformers_int8"], found["rate_vs_transformers_fp32"]) == (30 / 50, 40 / 50)
    assert (found["cached_segments_per_second"], found["peak_memory_gb"]) == (7.0, 0.5)
    assert found["cached_segments_per_second_from_documents"] == 1200
    assert found["peak_memory_gb_with_model"] == 2.0


def test_documents_are_taken_until_there_are_enough_segments() -> None:
    answers = ["One. Two.", "Two. Three.", "Four."]
    assert [translation._documents_with(answers, count) for count in (1, 2, 3, 4, 99)] == [1, 1, 2, 3, 3]
    assert Job("ours-" + INT8, "", "", "", 2, 12, 5, 2048, (16,)).compute_type == INT8
