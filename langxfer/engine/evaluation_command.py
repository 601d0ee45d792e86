"""The command that makes an evaluation again, for its manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from langxfer.engine.measured import Measured
from langxfer.recipe import Evaluating
from langxfer.report.finished import EVALUATORS


def evaluation_command(measured: Measured, wanted: Evaluating, of_recipe: bool) -> list[str]:
    """Its words; where the evaluators are from a recipe, in the folder of the evaluation, which has a copy of that.

    Args:
        measured: the model.
        wanted: the evaluators, with the paths of their files made absolute.
        of_recipe: whether they are from a recipe, whose examples they may need.
    """
    model = str(Path(measured.run).resolve()) if measured.run else wanted.model.source
    if of_recipe:
        return ["langxfer", "evaluate", model, EVALUATORS]
    names = [own.name for own in wanted.evaluators]
    return ["langxfer", "evaluate", model, ",".join(names), *_settings(measured, wanted)]


def _settings(measured: Measured, wanted: Evaluating) -> Iterator[str]:
    """``--set`` for all that is not as it would be without; a run brings the options of its model along."""
    if measured.run is None:
        yield from _set("model", _options(wanted.model, "source"))
    times = Counter(own.name for own in wanted.evaluators)
    for number, own in enumerate(wanted.evaluators):
        yield from _set(own.name if times[own.name] == 1 else f"evaluators[{number}]", _options(own, "name"))


def _options(section: Any, apart_from: str) -> dict[str, Any]:
    found = section.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {name: value for name, value in found.items() if name != apart_from}


def _set(place: str, options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        yield from ("--set", f"{place}.{name}={json.dumps(value, ensure_ascii=False)}")
