"""Settings of a sweep's points, for people: ``data.limit=200, phases[0].objective=clo``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

NAME = "name"  # of a point, beside its settings: no recipe has a field of that name


def is_seed(path: str) -> bool:
    """Whether points that differ in this setting alone are repetitions. ``data.seed`` is none: it chooses items."""
    return path == "seed" or path.endswith(".training.seed")


def without_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not a seed."""
    return {path: value for path, value in settings.items() if not is_seed(path)}


def value_text(value: Any) -> str:
    """A value in few characters: text bare, a component without options by its name, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        options = {name: own for name, own in value.items() if name != "name"}
        return value["name"] + (f" {json.dumps(options, ensure_ascii=False)}" if options else "")
    return json.dumps(value, ensure_ascii=False)


def short_label(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Settings in few words: texts and components speak for themselves, anything else has its name before it.

    Args:
        settings: path -> value.
        names: of the paths, as ``short_names`` gives them.
    """
    return ", ".join(
        value_text(value) if _speaks(value) else f"{names[path]}={value_text(value)}"
        for path, value in settings.items()
    )


def _speaks(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and "name" in value)


def label(settings: Mapping[str, Any]) -> str:
    """All settings in one line; the name that a sweep file gives a point speaks for itself."""
    named = (value_text(value) if path == NAME else f"{path}={value_text(value)}" for path, value in settings.items())
    return ", ".join(named) or "the recipe"


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Path -> its last word, where no other path ends in the same; else the path itself."""
    paths = list(dict.fromkeys(paths))
    last = [path.rpartition(".")[2] for path in paths]
    return {path: word if last.count(word) == 1 else path for path, word in zip(paths, last, strict=True)}
