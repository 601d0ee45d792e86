"""Which model ``langxfer evaluate`` is given: a run folder's, or one that recipes take as ``model.source``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langxfer.engine.store import Store
from langxfer.errors import ArtifactError, RecipeError
from langxfer.recipe import Model
from langxfer.recipe_text import RecipeText, Unreadable


@dataclass(frozen=True)
class Measured:
    """A model.

    Attributes:
        name: for people and for the name of the folder.
        options: of a recipe's section ``model``.
        trained: key and weights of each training phase that follows.
        run: folder of the run whose adapted model it is; None for any other.
    """

    name: str
    options: Mapping[str, Any]
    trained: tuple[tuple[str, Path], ...] = ()
    run: Path | None = None


def find_measured(model_or_run: str, before: bool = False) -> Measured:
    """The adapted model of a run folder, with ``before`` the one that it started from; or any other source.

    The adapted model is made of the run's artifacts, so that it shares the run's evaluations. Where they are gone, the
    folder ``model`` of the run takes their place.

    Raises:
        RecipeError: ``before`` with something that is no run folder, or a run that is not finished.
        ArtifactError: the run folder is damaged.
    """
    path = Path(model_or_run)
    if not (path / "filled.yaml").is_file():
        if before:
            raise RecipeError(f"--before: {model_or_run} is no run folder, which would have a model before training.")
        source = str(path.resolve()) if path.exists() else model_or_run
        return Measured(path.name or model_or_run, {"source": source})
    options = _options(path / "filled.yaml")
    if before:
        return Measured(f"{path.resolve().name}-before", options)
    trained = _trained(path)
    if trained is not None:
        return Measured(path.resolve().name, options, trained, path)
    if not (path / "model" / "config.json").is_file():
        raise RecipeError(f"{path}: the run is not finished, so there is no adapted model. Finish it, or use --before.")
    exported = {**options, "source": str((path / "model").resolve())}  # its template lies in it
    exported |= {"revision": None, "sha256": None, "template": None}
    return Measured(path.resolve().name, exported, run=path)


def _options(path: Path) -> dict[str, Any]:
    try:
        values = RecipeText.read(str(path), path.read_text(encoding="utf-8")).values
        return Model.model_validate(values["model"]).what()
    except (Unreadable, OSError, ValueError, KeyError, TypeError):  # a pydantic error is a ValueError
        raise ArtifactError(f"{path}: the run's recipe cannot be read. Run it again, which writes it anew.") from None


def _trained(path: Path) -> tuple[tuple[str, Path], ...] | None:
    """The weights of the run's phases in the artifacts beside it; None when one of them is missing."""
    try:
        stages = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["stages"]
        keys = [entry["key"] for entry in stages if entry["artifact"].startswith("train/")]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    from langxfer.engine.weights import TRAINED

    store = Store(path.resolve().parent / "artifacts")
    found = [store.find("train", key) for key in keys]
    whole = [artifact for artifact in found if artifact is not None]
    if not keys or len(whole) < len(found):
        return None
    return tuple((artifact.key, artifact.path / TRAINED) for artifact in whole)
