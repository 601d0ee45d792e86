"""The recipes that come with langxfer, by name."""

from __future__ import annotations

from pathlib import Path

import langxfer

PLACES = ("*.yaml", "paper/*/*.yaml")


def recipes() -> dict[str, Path]:
    """Name -> YAML file; the name is the file's, with its folders and without suffix: ``clo``, ``paper/MODEL/…``."""
    package = Path(langxfer.__file__).parent
    # A wheel holds the recipes inside the package; in the repository they lie beside it.
    folder = next((place for place in (package / "recipes", package.parent / "recipes") if place.is_dir()), None)
    if folder is None:
        return {}
    paths = (path for place in PLACES for path in sorted(folder.glob(place)))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
