"""What becomes of exceptions within a stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from langxfer.components import Drop, Filter
from langxfer.data import ParallelExample
from langxfer.engine.making import Maker
from langxfer.engine.plan import Stage
from langxfer.engine.runtime import Runtime
from langxfer.engine.store import Store
from langxfer.errors import DataError, StageError
from langxfer.testing import parallel_examples


class Strict(Filter):
    """Cannot read what it is given."""

    name: Literal["strict"] = "strict"

    def judge(self, example: ParallelExample) -> Drop | None:
        return json.loads("{")


@pytest.fixture
def perform(runtime: Runtime, tmp_path: Path) -> Callable[[Callable[[], Any]], Any]:
    maker = Maker(runtime, Store(tmp_path), lambda event: None)
    return lambda act: maker.perform(Stage("translate", "translate", {}), lambda folder: act())


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


def test_an_exception_of_a_plugin_says_whose_it_is_and_where(perform: Any) -> None:
    with pytest.raises(StageError) as caught:
        perform(lambda: Strict().judge(parallel_examples(1)[0]))
    said = str(caught.value)
    assert said.startswith("stage translate (") and ' failed: filter "strict" raised JSONDecodeError: Expecting' in said
    assert said.endswith(").") and "decoder.py:" in said
    assert isinstance(caught.value.__cause__, json.JSONDecodeError) and caught.value.__cause__.__traceback__


@pytest.mark.parametrize(
    "error", [ValueError("boo\n  and more"), RuntimeError("boo and more"), OSError("boo and more")]
)
def test_any_other_exception_says_its_type_and_place(perform: Any, error: Exception) -> None:
    with pytest.raises(
        StageError, match=rf"\) failed: {type(error).__name__}: boo and more \(.*test_making\.py:\d+\)\.$"
    ):
        perform(raising(error))


def test_an_exception_without_a_message(perform: Any) -> None:
    with pytest.raises(StageError, match=r"\) failed: AssertionError \(.*test_making\.py:\d+\)\.$"):
        perform(raising(AssertionError()))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), BrokenPipeError(), DataError("no data")])
def test_what_is_meant_passes_as_it_is(perform: Any, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        perform(raising(error))
    assert caught.value is error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory")])
def test_what_does_not_fit_says_what_to_lower(perform: Any, error: Exception) -> None:
    with pytest.raises(StageError, match=r"out of memory\. Lower compute\.tokens_per_micro_batch"):
        perform(raising(error))
