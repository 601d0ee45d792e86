"""What translators give, looked at before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from langxfer.components import Pair, Translation
from langxfer.errors import PluginError
from langxfer.translation.pipeline import Pipeline
from langxfer.translation.segment_cache import SegmentCache

EN_DE = Pair("en", "de")


class Gives:
    """The same for whatever it is asked; counts how often that is."""

    def __init__(self, answer: Translation):
        self.answer, self.asked = answer, 0

    def translate(self, segments: Sequence[str], pair: Pair) -> list[Translation]:
        self.asked += 1
        return [self.answer for _ in segments]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (Translation(5), "1 translations, among them a Translation whose text is 5"),  # type: ignore[arg-type]
        (Translation("x", "1"), "1 translations, among them a Translation whose score is '1'"),  # type: ignore[arg-type]
    ],
)
def test_a_translation_of_something_else_is_a_fault_of_the_translator(answer: Translation, found: str) -> None:
    with pytest.raises(PluginError, match=f"the translator Gives gave {found} for 1 segments"):
        list(Pipeline(Gives(answer), "sentence", None, {}).documents(["One thing"], EN_DE))


@pytest.mark.parametrize("score", [np.float32(-1), np.float64(-1), -1])
def test_scores_of_other_kinds_become_plain_numbers(tmp_path: Path, score: float) -> None:
    opened = Gives(Translation("Ein Ding", score))
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        for _ in range(2):  # the second time from the cache
            (document,) = Pipeline(opened, "sentence", cache, {}).documents(["One thing"], EN_DE)
            assert document.scores == (-1.0,) and type(document.scores[0]) is float
    assert opened.asked == 1
