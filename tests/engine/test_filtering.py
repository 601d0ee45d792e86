"""Filters at work: the order, batches, a model that is opened once and closed, and plugins that break the contract."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch

from langxfer.components import Drop, Filter, OpenFilter
from langxfer.data import ParallelExample, Turn
from langxfer.engine.filtering import WINDOW, open_filters
from langxfer.engine.formats import SourceRow
from langxfer.engine.translate import build_examples
from langxfer.errors import PluginError
from langxfer.recipe import Data
from langxfer.testing import check_filter, parallel_examples


class Estimated(Filter):
    """As a plugin with a neural model would be: it is loaded by ``open``, and scores many examples in one call."""

    name: Literal["estimated"] = "estimated"
    min_score: float = 0.0
    events: ClassVar[list[Any]] = []

    def judge(self, example: ParallelExample) -> Drop | None:
        with self.open("cpu", Path()) as judge_all:
            return judge_all([example])[0]

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[OpenFilter]:
        self.events.append(("open", device, cache))
        yield self._scored
        self.events.append("close")

    def _scored(self, examples: Sequence[ParallelExample]) -> list[Drop | None]:
        self.events.append(len(examples))
        scores = [float(len(example.target.response)) for example in examples]
        return [Drop("low score", score) if score < self.min_score else None for score in scores]


class Odd(Filter):
    """Drops what is odd, or answers badly."""

    name: Literal["odd"] = "odd"
    fault: str = ""
    measure: ClassVar[Any] = 1.0

    def judge(self, example: ParallelExample) -> Any:
        return "no" if self.fault == "type" else Drop("odd", self.measure) if int(example.id) % 2 else None

    def open(self, device: str, cache: Path) -> Any:
        opened = super().open(device, cache)
        if self.fault == "count":
            opened.enter_result = lambda examples: [None]
        return opened


def example(number: int) -> ParallelExample:
    return ParallelExample(str(number), Turn("?", "x", "en"), Turn("?", "y" * number, "de"))


def test_a_filter_with_a_model_judges_batches_of_what_is_left(tmp_path: Path) -> None:
    Estimated.events.clear()
    with open_filters((Odd(), Estimated(min_score=4)), "cuda", tmp_path) as drops_of:
        drops = drops_of([example(number) for number in range(7)])
        assert [drop and drop.reason for drop in drops_of([example(1)])] == ["odd: odd"]
        assert drops_of([]) == []
    low, odd = "estimated: low score", "odd: odd"
    assert [drop and drop.reason for drop in drops] == [low, odd, low, odd, None, odd, None]
    assert Estimated.events == [("open", "cuda", tmp_path), 4, "close"]


def test_the_engine_opens_it_once_and_asks_in_windows() -> None:
    Estimated.events.clear()
    count = WINDOW + 10
    rows = [
        SourceRow(str(n), {"en": Turn("?", f"{n}", "en"), "de": Turn("?", "y" * (n % 3 + 1), "de")})
        for n in range(count)
    ]
    data = Data(source="x", format="parallel", target_languages=("de",), filters=(Estimated(min_score=2),))
    built = list(build_examples(rows, data, None, "parallel"))
    assert [item.id for item in built] == [f"{n}/de" for n in range(count)]
    assert [item.reason for item in built] == ["estimated: low score" if n % 3 == 0 else None for n in range(count)]
    assert [event for event in Estimated.events if isinstance(event, int)] == [WINDOW, 10]
    assert Estimated.events[0][:2] == ("open", "cpu") and Estimated.events[-1] == "close"


@pytest.mark.parametrize(("fault", "said"), [("count", "1 verdicts for 2"), ("type", "among them str")])
def test_a_filter_that_breaks_its_contract_is_named(fault: str, said: str, tmp_path: Path) -> None:
    with open_filters((Odd(fault=fault),), "cpu", tmp_path) as drops_of, pytest.raises(PluginError, match=said):
        drops_of([example(0), example(2)])


@pytest.mark.parametrize("measure", [2, np.float32(2), np.int64(2), torch.tensor(2.0), True])
def test_a_measure_is_written_as_a_number(measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "measure", measure)
    with open_filters((Odd(),), "cpu", tmp_path) as drops_of:
        (drop,) = drops_of([example(1)])
    assert drop is not None and json.dumps(drop.measure) == json.dumps(float(measure))


@pytest.mark.parametrize("measure", [None, "much", torch.zeros(2)])
def test_a_measure_that_is_no_number_is_a_fault_of_the_filter(
    measure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Odd, "measure", measure)
    with (
        open_filters((Odd(),), "cpu", tmp_path) as drops_of,
        pytest.raises(PluginError, match="filter odd gave a Drop"),
    ):
        drops_of([example(1)])


class Unmanaged(Odd):
    """``open`` without ``@contextmanager``."""

    name: Literal["unmanaged"] = "unmanaged"

    def open(self, device: str, cache: Path) -> Any:
        return self.judge


def test_open_that_gives_no_context_manager_is_named(tmp_path: Path) -> None:
    said = r'^filter "unmanaged": open gives a method; expected a context manager. Put @contextlib.contextmanager'
    with pytest.raises(PluginError, match=said), open_filters((Unmanaged(),), "cpu", tmp_path):
        pass


class Biased(Estimated):
    """Judges otherwise when it is asked for many at once."""

    name: Literal["biased"] = "biased"

    def _scored(self, examples: Sequence[ParallelExample]) -> list[Drop | None]:
        return [Drop("late", 1.0) if i else None for i in range(len(examples))]


def test_check_filter_opens_it_too() -> None:
    check_filter(Estimated(min_score=5), parallel_examples(2))
    with pytest.raises(AssertionError, match="otherwise"):
        check_filter(Biased())
