"""A run as others may see it: its texts and its report, without folders of this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

from langxfer.recipe_text import RecipeText, Unreadable, yaml_text
from langxfer.report.figures import Figure
from langxfer.report.finished import Finished
from langxfer.report.html.answers import Text
from langxfer.report.html.page import run_page
from langxfer.report.html.writing import page_text
from langxfer.report.paths import (
    FILES,
    home,
    known_paths,
    shown_file,
    shown_text,
    without_folders,
    without_known,
)

COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#.*$")
OF_A_TRACKER = "tracker "  # how its notices begin: they say where it keeps the run, which is nobody else's concern


@dataclass(frozen=True)
class PublicRun:
    """The texts of a run that are published with its model."""

    run: Finished

    @cached_property
    def filled(self) -> str:
        """The recipe with all defaults."""
        return yaml_text(without_folders(self.run.recipe))

    @cached_property
    def written(self) -> str | None:
        """The recipe as its author wrote it; in its comments whatever looks like a path is replaced."""
        text = self.run.text("recipe.yaml")
        if text is None:
            return None
        cleaned = self._clean(text)
        if self._written_values is None:
            return shown_text(cleaned)
        return COMMENT.sub(lambda match: shown_text(match[0]), cleaned)

    @cached_property
    def scores(self) -> str | None:
        text = self.run.text("scores.json")
        if text is None:
            return None
        return json.dumps(_each(json.loads(text), self._clean), indent=1, ensure_ascii=False)

    @cached_property
    def report(self) -> str:
        """The page anew, from values that were cleaned before they became HTML."""
        manifest = _each(self.run.manifest, self._clean)
        manifest["overrides"] = list(map(_override, manifest["overrides"]))
        manifest["plugins"] = [{**own, "file": shown_file(own["file"])} for own in manifest["plugins"]]
        run = replace(self.run, recipe=without_folders(self.run.recipe), manifest=manifest)
        page = run_page(run, self.run.scores().comparisons)
        notes = (shown_text(self._clean(own)) for own in page.notes if not own.startswith(OF_A_TRACKER))
        page = replace(_each(page, self._clean), notes=tuple(notes), recipe=self.written, filled=self.filled)
        return page_text(page, alone=True)

    def _clean(self, text: str) -> str:
        return without_known(text, self._known)

    @cached_property
    def _written_values(self) -> Any:
        try:
            return RecipeText.read("recipe.yaml", self.run.text("recipe.yaml") or "").values
        except Unreadable:
            return None

    @cached_property
    def _known(self) -> dict[str, str]:
        folder = self.run.path
        return {
            **known_paths([self.run.recipe, self._written_values, *map(str, (folder.absolute(), folder.resolve()))])
        } | home()


def _override(text: str) -> str:
    """``PATH=VALUE`` of the command line."""
    path, sign, value = text.partition("=")
    names = (name for name in re.split(r"[.\[\]]+", path) if name in FILES)
    return f"{path}{sign}{without_folders(value, next(names, ''))}"


def _each(value: Any, clean: Callable[[str], str]) -> Any:
    """A value with other texts in it; charts stay, which name scores and metrics alone."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Text):
        shown = clean(value.shown)
        return replace(value, shown=shown, length=value.length - len(value.shown) + len(shown))
    if isinstance(value, Mapping):
        return {name: _each(item, clean) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_each(item, clean) for item in value)
    if is_dataclass(value) and not isinstance(value, type | Figure):
        return replace(value, **{own.name: _each(getattr(value, own.name), clean) for own in fields(value)})
    return value
