"""Runs recipes for verbs: progress on stderr, events to the plugins that observe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.cli.options import err

if TYPE_CHECKING:
    from langxfer.engine.run import Run
    from langxfer.loading import LoadedRecipe
    from langxfer.plugins import Catalog


@contextmanager
def observed(catalog: Catalog) -> Iterator[Callable[[Any], None]]:
    """What takes the events of some work: it draws them, and tells them to plugins."""
    from langxfer.cli.progress import RunDisplay

    with RunDisplay(err) as display:

        def observe(event: Any) -> None:
            display.show(event)
            for notice in catalog.emit(event):
                display.show(notice)

        yield observe


def plugin_files(catalog: Catalog) -> tuple[tuple[str, str], ...]:
    """Name and SHA-256 of plugins that are files, for the record of a run."""
    return tuple((Path(info.source).name, info.sha256) for info in catalog.plugins if info.sha256)


def execute(loaded: LoadedRecipe, catalog: Catalog, runs: Path, overrides: Sequence[str] = ()) -> Run:
    """Do what a recipe says; ``overrides`` are those that were applied to it, for the run's record."""
    from langxfer.engine.run import Written, run

    written = Written(loaded.text, loaded.path.name, tuple(overrides), plugin_files(catalog))
    with observed(catalog) as observe:
        return run(loaded.recipe, runs, observe=observe, written=written)
