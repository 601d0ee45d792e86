"""Runs a recipe for a verb: progress on stderr, events to the plugins that observe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.cli.options import err

if TYPE_CHECKING:
    from langxfer.engine.run import Run
    from langxfer.loading import LoadedRecipe
    from langxfer.plugins import Catalog


def execute(loaded: LoadedRecipe, catalog: Catalog, runs: Path, overrides: Sequence[str] = ()) -> Run:
    """Do what a recipe says; ``overrides`` are those that were applied to it, for the run's record."""
    from langxfer.cli.progress import RunDisplay
    from langxfer.engine.run import Written, run

    files = tuple((Path(info.source).name, info.sha256) for info in catalog.plugins if info.sha256)
    with RunDisplay(err) as display:

        def observe(event: Any) -> None:
            display.show(event)
            for notice in catalog.emit(event):
                display.show(notice)

        written = Written(loaded.text, loaded.path.name, tuple(overrides), files)
        return run(loaded.recipe, runs, observe=observe, written=written)
