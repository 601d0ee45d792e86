"""The recipes that come with langxfer, by name."""

from __future__ import annotations

from pathlib import Path

import langxfer


def recipes() -> dict[str, Path]:
    """Name -> YAML file; the name is the file's, without folder and suffix."""
    package = Path(langxfer.__file__).parent
    # A wheel holds the recipes inside the package; in the repository they lie beside it.
    folder = next((place for place in (package / "recipes", package.parent / "recipes") if place.is_dir()), None)
    return {path.stem: path for path in sorted(folder.rglob("*.yaml"))} if folder else {}
