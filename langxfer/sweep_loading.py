"""From a recipe with lists of values, or from a sweep file, to the points of a sweep. All errors are collected.

    langxfer sweep clo --set data.limit=200,400 --set phases[0].objective=clo,sft --set seed=1,2,3

A sweep file says the same in YAML, and more: its points may have recipes of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from langxfer.errors import RecipeError
from langxfer.loading import LoadedRecipe, load_recipe
from langxfer.plugins import Catalog
from langxfer.problems import describe
from langxfer.recipe import Recipe, Section
from langxfer.recipe_text import STEP, RecipeText, Unreadable
from langxfer.report.paths import taken_from
from langxfer.report.settings import NAME, label
from langxfer.sweeps import Point, Sweep, gathered

SEED = "seed"  # short for the training seed of all phases
SEED_OF_PHASE = re.compile(r"phases\[\d+\]\.training\.seed")
COMMAND_LINE = "--set"


class ListedPoint(Section):
    """One of the points that a sweep file lists."""

    name: str = Field(min_length=1, description="What the point is called in tables.")
    recipe: str | None = Field(None, description="File or name of its recipe; null takes that of the sweep.")
    set: dict[str, Any] = Field(default_factory=dict, description="Path -> value, as with --set.")


class SweepFile(Section):
    """What a sweep file holds. With points and a grid, every point has the whole grid."""

    title: str | None = Field(None, min_length=1, description="A name for people; null takes the recipe's title.")
    recipe: str | None = Field(None, description="File (from the folder of the sweep file) or name of a recipe.")
    set: dict[str, Any] = Field(default_factory=dict, description="Path -> value, for all points.")
    grid: dict[str, tuple[Any, ...]] = Field(
        default_factory=dict, description="Path -> values: a point for every combination, the last path changes first."
    )
    points: tuple[ListedPoint, ...] = Field((), description="Points by name.")

    @field_validator("grid")
    @classmethod
    def _has_values(cls, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        empty = [path for path, values in grid.items() if not values]
        if empty:
            raise ValueError(f"{empty[0]} has no values; list at least one")
        return grid


@dataclass(frozen=True)
class _Setting:
    """A path with the value that it gets, or the values one after the other.

    Attributes:
        texts: values as ``--set`` takes them.
        values: the same as JSON values; None where the setting is the same for all points.
        place: where it was written.
    """

    path: str
    texts: tuple[str, ...]
    values: tuple[Any, ...] | None
    place: str


def load_sweep(path_or_name: str | Path, catalog: Catalog, overrides: str | Sequence[str] = ()) -> Sweep:
    """Read a sweep: a recipe with lists of values, or a sweep file, to which ``overrides`` are added.

    Args:
        path_or_name: a sweep file, or a recipe's file or name.
        catalog: the words that recipes may use.
        overrides: one or several: ``path=value`` or ``path=value,value,...``. Commas inside quotes, [] and {} separate
            nothing. The path ``seed`` stands for ``training.seed`` of all phases.

    Raises:
        RecipeError: with everything that is wrong with any point, each problem once.
    """
    file, read = _sweep_file(str(path_or_name), catalog)
    overrides = (overrides,) if isinstance(overrides, str) else overrides
    given = [_from_command_line(override) for override in overrides]
    undone = list(_undone(file, read, given))
    if undone:
        raise RecipeError(undone)
    return _Loading(file, read, catalog, given).sweep()


def _sweep_file(path_or_name: str, catalog: Catalog) -> tuple[SweepFile, RecipeText]:
    """The file's values and text; of a recipe, a sweep file that names it and nothing else."""
    recipe = SweepFile(recipe=path_or_name), RecipeText(path_or_name)
    if not Path(path_or_name).is_file():
        return recipe
    try:
        read = RecipeText.read(path_or_name, Path(path_or_name).read_text(encoding="utf-8-sig"))
    except (Unreadable, OSError, UnicodeDecodeError):
        return recipe  # loading the recipe says what is wrong
    own = set(SweepFile.model_fields) - set(Recipe.model_fields)
    if not isinstance(read.values, dict) or not own & read.values.keys() or {"model", "phases"} & read.values.keys():
        return recipe
    problems = list(read.problems)
    try:
        file = SweepFile.model_validate(read.values)
    except ValidationError as error:
        problems += describe(error, read, catalog, section=SweepFile)
    else:
        problems += [(read.place(()), sentence) for sentence in _lacks(file)]
    if problems:
        raise RecipeError(dict.fromkeys(f"{place}  {sentence}" for place, sentence in problems))
    return file, read


def _lacks(file: SweepFile) -> Iterator[str]:
    if file.recipe is None and (not file.points or any(point.recipe is None for point in file.points)):
        yield "recipe is missing; expected the file or name of the recipe that is swept, here or in every point."
    names = [point.name for point in file.points]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        yield f"points: two are called {twice[0]}. Give each a name of its own."


def _undone(file: SweepFile, read: RecipeText, given: Sequence[_Setting]) -> Iterator[str]:
    """Settings that would do nothing, since another one takes their place when it is applied.

    A point's own set may take the place of what is set for all points, and the command line that of the same path.
    """
    instead = {setting.path for setting in given}
    of_points = [(f"the set of point {own.name}", own.set) for own in file.points]
    own = {where for where, _ in of_points}
    read_from = [("set", file.set), *of_points, ("grid", file.grid)]
    placed = [(where, path) for where, paths in read_from for path in paths if path not in instead]
    placed += [(COMMAND_LINE, setting.path) for setting in given]
    for (where, path), (there, later) in combinations(placed, 2):
        if {where, there} <= own and where != there:
            continue
        first = f"{COMMAND_LINE} {path}" if where == COMMAND_LINE else f"{path} in {where}"
        begin = f"{COMMAND_LINE} {later} " if there == COMMAND_LINE else f"{read.place(())}  {there}: {later}"
        if _set_twice(path, later):
            yield f"{begin} sets what {first} sets too, so one would do nothing. Remove one of them."
        elif path == later and there == "grid":
            yield f"{begin} is in {where} too, which would do nothing. Remove one of them."
        elif _is_below(path, later) and not (where == "set" and there in own):
            yield f"{begin} is applied after {first}, which would do nothing. Remove one of them."


def _set_twice(one: str, other: str) -> bool:
    """Whether ``seed`` is one of the paths, and the other the seed that it stands for."""
    return SEED in (one, other) and any(SEED_OF_PHASE.fullmatch(path) for path in (one, other))


def _is_below(path: str, other: str) -> bool:
    """Whether a path leads into what another one sets; an evaluator may be called by its name."""
    by_name = path != SEED and path.partition(".")[0].partition("[")[0] not in Recipe.model_fields
    return path.startswith((f"{other}.", f"{other}[")) or (other == "evaluators" and by_name)


def _from_command_line(override: str) -> _Setting:
    """``path=value`` as it is, ``path=value,value`` as a list: YAML itself tells where a value ends."""
    path, equals, text = override.partition("=")
    place = f"--set {path.strip()}"
    if not equals or not path.strip():
        raise RecipeError(f"--set {override}  expected path=value or path=value,value, such as data.limit=200,400.")
    try:
        read = RecipeText.read(place, f"[{text}]")
    except Unreadable:
        return _Setting(
            path.strip(), (text,), None, place
        )  # a plain value that is none in a list: a text with brackets
    if len(read.values) < 2 or read.problems:
        return _Setting(path.strip(), (text,), None, place)
    return _Setting(path.strip(), tuple(map(_json, read.values)), tuple(read.values), place)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Loading:
    """Loads every point of a sweep and remembers all that is wrong."""

    def __init__(self, file: SweepFile, read: RecipeText, catalog: Catalog, given: Sequence[_Setting]):
        self._file, self._read, self._catalog, self._given = file, read, catalog, given
        self._overridden = {setting.path for setting in given}
        self._phases: dict[tuple[str, tuple[str, ...]], int] = {}
        self._problems: list[tuple[str, str]] = []

    def sweep(self) -> Sweep:
        points: list[Point] = []
        count = 0
        for listed in self._file.points or (None,):
            settings = self._settings(listed)
            for chosen in product(*(range(len(setting.texts)) for setting in settings)):
                count += 1
                point = self._point(listed, list(zip(settings, chosen, strict=True)))
                points += [point] if point else []
        if self._problems:
            raise RecipeError(gathered(self._problems, count))
        return Sweep(self._file.title or points[0].recipe.title, tuple(points))

    def _settings(self, listed: ListedPoint | None) -> list[_Setting]:
        """In the order in which they apply; the command line's take the place of the file's."""
        file, read = self._file, self._read
        own = [(("set", path), path, (value,), False) for path, value in file.set.items()]
        if listed is not None:
            number = file.points.index(listed)
            own += [(("points", number, "set", path), path, (value,), False) for path, value in listed.set.items()]
        own += [(("grid", path), path, values, True) for path, values in file.grid.items()]
        settings = [
            _Setting(path, self._texts(path, values), tuple(values) if swept else None, read.place(place))
            for place, path, values, swept in own
            if path not in self._overridden
        ]
        return [*settings, *self._given]

    def _texts(self, path: str, values: Sequence[Any]) -> tuple[str, ...]:
        """Values of the file as ``--set`` takes them, which knows the recipe's folder alone: paths become absolute."""
        folder, words = Path(self._read.name).parent, [name for name, _ in STEP.findall(path) if name]
        return tuple(_json(taken_from(folder, words, value) if words else value) for value in values)

    def _point(self, listed: ListedPoint | None, chosen: Sequence[tuple[_Setting, int]]) -> Point | None:
        settings: dict[str, Any] = {NAME: listed.name} if listed else {}
        settings |= {own.path: own.values[number] for own, number in chosen if own.values is not None}
        try:
            overrides = self._overrides(listed, chosen)
            loaded = self._load(listed, overrides)
        except RecipeError as error:
            self._problems += [(label(settings), self._placed(problem, chosen)) for problem in error.problems]
            return None
        name = self._recipe(listed)
        file = str(Path(name).resolve()) if Path(name).is_file() else name  # sweep.yaml may lie in any folder
        return Point(settings, loaded.recipe, loaded.text, file, tuple(overrides))

    def _overrides(self, listed: ListedPoint | None, chosen: Sequence[tuple[_Setting, int]]) -> list[str]:
        """As ``langxfer run --set`` takes them: ``seed`` becomes the training seed of each phase."""
        plain = [f"{own.path}={own.texts[number]}" for own, number in chosen if own.path != SEED]
        seeds = [own.texts[number] for own, number in chosen if own.path == SEED]
        if not seeds:
            return plain
        known = (listed.name if listed else "", tuple(plain))
        if known not in self._phases:
            self._phases[known] = len(self._load(listed, plain).recipe.phases)
        return [*plain, *(f"phases[{number}].training.seed={seeds[-1]}" for number in range(self._phases[known]))]

    def _load(self, listed: ListedPoint | None, overrides: Sequence[str]) -> LoadedRecipe:
        return load_recipe(self._recipe(listed), self._catalog, overrides)

    def _recipe(self, listed: ListedPoint | None) -> str:
        """File or name of the point's recipe."""
        name = (listed.recipe if listed else None) or self._file.recipe or ""
        beside = Path(self._read.name).parent / name
        return str(beside) if self._read.places and beside.is_file() else name

    @staticmethod
    def _placed(problem: str, chosen: Sequence[tuple[_Setting, int]]) -> str:
        """The problem with the place in the sweep file, where what is wrong was set there."""
        place, gap, sentence = problem.partition("  ")
        places: Mapping[str, str] = {f"--set {own.path}": own.place for own, _ in chosen}
        seed = places.get(f"--set {SEED}") if place.endswith(".training.seed") else None
        return f"{places.get(place) or seed or place}{gap}{sentence}"
