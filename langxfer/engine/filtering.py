"""Filters at work: they are opened together, and each judges what those before it kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from langxfer.components import Drop, Filter, OpenFilter
from langxfer.components.component import managed
from langxfer.data import ParallelExample
from langxfer.errors import PluginError

WINDOW = 1024  # examples judged at a time; a filter with a model makes its own batches of them
Drops = Callable[[Sequence[ParallelExample]], list[Drop | None]]


@contextmanager
def open_filters(filters: Sequence[Filter], device: str, cache: Path) -> Iterator[Drops]:
    """A function that says why examples are dropped, None for those that stay; the first filter that drops one counts.

    Its name comes before the reason.

    Args:
        filters: in the order in which they judge.
        device: ``cpu`` or ``cuda``, for those that have a model.
        cache: folder for what they convert.

    Raises:
        PluginError: (by the function) a filter gave something else than one verdict for each example, or a measure
            that is no number.
    """
    with ExitStack() as stack:
        judges = [(own.name, stack.enter_context(managed(own, own.open(device, cache)))) for own in filters]
        yield lambda examples: _drops(judges, examples)


def _drops(judges: Sequence[tuple[str, OpenFilter]], examples: Sequence[ParallelExample]) -> list[Drop | None]:
    drops: list[Drop | None] = [None] * len(examples)
    kept = list(range(len(examples)))
    for name, judge in judges:
        if not kept:
            break
        verdicts = list(judge([examples[i] for i in kept]))
        _check(name, verdicts, len(kept))
        for i, drop in zip(kept, verdicts, strict=True):
            if drop is not None:
                drops[i] = Drop(f"{name}: {drop.reason}", _number(name, drop.measure))
        kept = [i for i in kept if drops[i] is None]
    return drops


def _number(name: str, measure: object) -> float:
    """The measure as Python's own number: those of numpy and torch cannot be written to a file of JSON."""
    try:
        return float(measure)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise PluginError(
            f"the filter {name} gave a Drop with the measure {measure!r}. Expected a number: this is a fault of the "
            "plugin that brings it."
        ) from None


def _check(name: str, verdicts: Sequence[object], asked: int) -> None:
    wrong = [type(verdict).__name__ for verdict in verdicts if not isinstance(verdict, Drop | None)]
    if wrong or len(verdicts) != asked:
        found = f"{len(verdicts)} verdicts" + (f", among them {wrong[0]}" if wrong else "")
        raise PluginError(
            f"the filter {name} gave {found} for {asked} examples. Expected one Drop, or None, for each in order: "
            "this is a fault of the plugin that brings it."
        )
