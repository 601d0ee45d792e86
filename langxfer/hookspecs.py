"""Every hook there is. Nothing else is an extension point.

Hooks declare and never change anything, so the order of plugins cannot matter. A plugin is a
module with functions of these names, marked with ``langxfer.hookimpl``; it is found through the
entry-point group ``langxfer``, or named by ``--plugin FILE``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from langxfer.components import Evaluator, Filter, Judge, Objective, Selector, Translator
    from langxfer.events import Event

hookspec = pluggy.HookspecMarker("langxfer")
hookimpl = pluggy.HookimplMarker("langxfer")


@hookspec
def register_translators() -> list[type[Translator]]:
    """Called once when plugins are loaded: the translator classes this plugin adds."""
    ...


@hookspec
def register_filters() -> list[type[Filter]]:
    """Called once when plugins are loaded: the filter classes this plugin adds."""
    ...


@hookspec
def register_objectives() -> list[type[Objective]]:
    """Called once when plugins are loaded: the objective classes this plugin adds."""
    ...


@hookspec
def register_selectors() -> list[type[Selector]]:
    """Called once when plugins are loaded: the selector classes this plugin adds."""
    ...


@hookspec
def register_evaluators() -> list[type[Evaluator]]:
    """Called once when plugins are loaded: the evaluator classes this plugin adds."""
    ...


@hookspec
def register_judges() -> list[type[Judge]]:
    """Called once when plugins are loaded: the judge classes this plugin adds."""
    ...


@hookspec
def register_recipes() -> dict[str, Path]:
    """Called once when plugins are loaded: recipe name -> its YAML file."""
    ...


@hookspec
def observe(event: Event) -> None:
    """Called on the main process for every event of a run, by the command line.

    From Python it is called where ``observe=catalog.emit`` is passed to ``run``, ``sweep`` or ``evaluate``. Events are
    frozen values.
    """
