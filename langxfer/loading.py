"""From YAML text and a catalog to a recipe, and back. All errors are collected, each with file and line.

A recipe can never import or execute anything: YAML gives plain values only, and names are looked
up in the catalog.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import ValidationError

from langxfer.components import Evaluator
from langxfer.errors import RecipeError
from langxfer.narrowing import narrowed, opened, takes_component
from langxfer.plugins import Catalog, grouped
from langxfer.problems import describe, near
from langxfer.recipe import Evaluating, Model, Recipe, Translating
from langxfer.recipe_text import RecipeText, Unreadable, Unsettable, filled, found

__all__ = [
    "LoadedRecipe",
    "evaluating_of",
    "filled",
    "limited",
    "load_evaluating",
    "load_recipe",
    "load_translating",
    "narrowed",
    "schema",
    "unlimited",
]


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with its paths resolved, the text it came from, and where that was."""

    recipe: Recipe
    text: str
    path: Path


def load_recipe(
    path_or_name: str | Path,
    catalog: Catalog,
    overrides: str | Sequence[str] = (),
    model: Mapping[str, Any] | None = None,
) -> LoadedRecipe:
    """Read a recipe from a file, or an installed one by its name.

    Args:
        path_or_name: a file where there is one, else the name of a registered recipe.
        catalog: the words that the recipe may use.
        overrides: ``path=value`` as given to ``--set``, one or several, applied in their order. A path may begin with
            an evaluator's name: ``held_out.margins=false``.
        model: options that take the place of the recipe's, before the overrides.

    Raises:
        RecipeError: with everything that is wrong, each with file and line.
    """
    overrides = (overrides,) if isinstance(overrides, str) else overrides
    path = _find(str(path_or_name), catalog)
    text = _text(path)
    try:
        read = RecipeText.read(str(path), text)
    except Unreadable as error:
        raise RecipeError(str(error)) from None
    if not isinstance(read.values, dict):
        what = "empty" if read.values is None else found(read.values)
        raise RecipeError(
            f"{read.place(())}  The recipe is {what}; expected a mapping with title, model, data, phases."
        )
    if model is not None:
        read.values["model"] = _instead(read.values.get("model"), model)
    problems = [*_override(read, overrides, catalog), *read.problems]
    missing, wrong = _requirements(read)
    problems += wrong
    try:
        recipe = opened(narrowed(catalog).model_validate(read.values))
    except ValidationError as error:
        hints = [sentence for _, sentence in missing]
        problems += describe(error, read, catalog, hints)
        if any(item["type"] == "component_unknown" for item in error.errors()):
            missing = []  # said where the name is that they would bring
    problems += missing
    if problems:
        lines = dict.fromkeys(f"{place}  {sentence}" for place, sentence in sorted(problems, key=_order(read)))
        raise RecipeError(lines)
    return LoadedRecipe(recipe.resolved(path.resolve().parent), text, path)


def load_translating(translator: str, catalog: Catalog, overrides: Sequence[str] = ()) -> Translating:
    """A translator by name, or from a YAML file that holds what a recipe has under ``translator``.

    Args:
        translator: a name, or a file that ends in .yaml or .yml; paths in it are taken from its folder.
        catalog: the words that may be used.
        overrides: ``path=value`` as given to ``--set``, such as ``translator.beam_size=4``.

    Raises:
        RecipeError: with everything that is wrong.
    """
    read, folder = RecipeText("--translator", {"translator": translator}, {(): "--translator"}), Path()
    if translator.endswith((".yaml", ".yml")):
        folder = Path(translator).resolve().parent
        try:
            inner = RecipeText.read(translator, _text(Path(translator)))
        except Unreadable as error:
            raise RecipeError(str(error)) from None
        places = {("translator", *path): place for path, place in inner.places.items()}
        read = RecipeText(translator, {"translator": inner.values}, places, inner.problems)
    problems = [*_override(read, overrides, catalog), *read.problems]
    try:
        found = opened(narrowed(catalog, Translating).model_validate(read.values))
    except ValidationError as error:
        problems += describe(error, read, catalog, section=Translating)
    if problems:
        raise RecipeError(dict.fromkeys(f"{place}  {sentence}" for place, sentence in problems))
    return found.model_copy(update={"translator": found.translator.resolve(folder.resolve())})


def load_evaluating(
    what: str, model: Mapping[str, Any], catalog: Catalog, overrides: Sequence[str] = (), limit: int | None = None
) -> tuple[Evaluating, Recipe | None]:
    """What to measure of a model, and the recipe that it is from, if any.

    Args:
        what: a recipe's file or name, or names of evaluators with commas between them.
        model: the options ``source``, …; they take the place of those in the recipe.
        catalog: the words that may be used.
        overrides: ``path=value`` as given to ``--set``: of the recipe, or of model, evaluators and compute.
        limit: the option of that name of all evaluators that have it; None leaves it as it is.

    Raises:
        RecipeError: with everything that is wrong.
    """
    if what in catalog.recipes or Path(what).suffix in (".yaml", ".yml") or Path(what).is_file():
        return _of_recipe(load_recipe(what, catalog, overrides, model).recipe, what, limit)
    names = [name.strip() for name in what.split(",") if name.strip()]
    read = RecipeText(what, {"model": dict(model), "evaluators": names}, {(): what or "EVALUATORS"})
    problems = [*_override(read, overrides, catalog), *read.problems]
    try:
        found = opened(narrowed(catalog, Evaluating).model_validate(read.values)).resolved(Path.cwd())
    except ValidationError as error:
        problems += describe(error, read, catalog, section=Evaluating)
    if problems:
        raise RecipeError(dict.fromkeys(f"{place}  {sentence}" for place, sentence in problems))
    return limited(found, limit), None


def evaluating_of(recipe: Recipe, model: Mapping[str, Any], limit: int | None = None) -> tuple[Evaluating, Recipe]:
    """What ``load_evaluating`` gives, of a recipe that is read already and whose paths are resolved."""
    own = Model.model_validate(_instead(recipe.model.model_dump(exclude_unset=True), model))
    return _of_recipe(recipe.model_copy(update={"model": own}), recipe.title, limit)


def limited(evaluating: Evaluating, limit: int | None) -> Evaluating:
    """The same with the option ``limit`` of all evaluators that have it; None leaves it as it is.

    Raises:
        RecipeError: none of them has it, or it is no number from 1.
    """
    if limit is None:
        return evaluating
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise RecipeError(
            f"--limit: found {limit!r}; expected a whole number from 1. Leave it out to measure all items."
        )
    if len(unlimited(evaluating.evaluators)) == len(evaluating.evaluators):
        names = ", ".join(own.name for own in evaluating.evaluators)
        raise RecipeError(f"--limit: no evaluator has an option of this name ({names}). Leave it out.")
    evaluators = tuple(_limited(own, limit) for own in evaluating.evaluators)
    return evaluating.model_copy(update={"evaluators": evaluators})


def unlimited(evaluators: Sequence[Evaluator]) -> list[str]:
    """Names of the evaluators that have no option ``limit``."""
    return [own.name for own in evaluators if "limit" not in type(own).model_fields]


def _of_recipe(recipe: Recipe, name: str, limit: int | None) -> tuple[Evaluating, Recipe]:
    if not recipe.evaluators:
        raise RecipeError(f"{name}: evaluators is empty, so nothing is measured. List some, or name them instead.")
    own = Evaluating(model=recipe.model, evaluators=recipe.evaluators, compute=recipe.compute)
    own = limited(own, limit)
    return own, recipe.model_copy(update={"evaluators": own.evaluators})


def _limited(evaluator: Evaluator, limit: int) -> Evaluator:
    return evaluator if unlimited([evaluator]) else evaluator.model_copy(update={"limit": limit})


def _instead(model: Any, other: Mapping[str, Any]) -> dict[str, Any]:
    """The other model, with the recipe's template and precision unless it has its own. Trust is not passed on."""
    own = model if isinstance(model, dict) else {}
    return {**{name: own[name] for name in ("template", "dtype") if name in own}, **other}


def schema(catalog: Catalog) -> dict[str, Any]:
    """JSON schema of recipes, with the options of everything that is installed."""
    described = narrowed(catalog).model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def _find(path_or_name: str, catalog: Catalog) -> Path:
    path = Path(path_or_name)
    if path.is_file():
        return path
    if path_or_name in catalog.recipes:
        return catalog.recipes[path_or_name][0]
    question = near(path_or_name, catalog.recipes)
    advice = f"{question}  " if question else ""
    known = ", ".join(grouped(catalog.recipes)) or "none"
    what = "is a folder" if path.is_dir() else "is neither a file nor the name of an installed recipe"
    raise RecipeError(f"{path_or_name} {what}.  {advice}Installed recipes: {known}.")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text (byte {error.start}); expected YAML in UTF-8.") from None


def _override(read: RecipeText, overrides: Sequence[str], catalog: Catalog) -> list[tuple[str, str]]:
    """Apply ``--set``; those that cannot be applied are problems."""
    problems = []
    for override in overrides:
        try:
            read.set(_by_name(override, read.values), lambda path: takes_component(path, read.values, catalog))
        except Unsettable as error:
            problems.append(
                (f"--set {override.partition('=')[0].strip()}", _no_option(override, str(error)) or str(error))
            )
    return problems


def _no_option(override: str, problem: str) -> str:
    """That what cannot be set in is no option at all; empty where it is one."""
    first = re.match(r"\s*(\w+)", override)
    if first is None or first[1] in Recipe.model_fields or not problem.startswith(f"{first[1]} is null"):
        return ""
    question = near(first[1], Recipe.model_fields) or f"Options: {', '.join(Recipe.model_fields)}."
    return f"{first[1]} is not an option of the recipe. {question}"


def _by_name(override: str, values: Any) -> str:
    """An evaluator may be called by its name: ``held_out.margins=false`` is ``evaluators[1].margins=false``.

    Raises:
        Unsettable: two evaluators have it.
    """
    name, dot, rest = override.strip().partition(".")
    listed = values.get("evaluators") if isinstance(values, dict) else None
    if not dot or not isinstance(listed, list) or name in Recipe.model_fields:
        return override
    places = [i for i, own in enumerate(listed) if name == (own.get("name") if isinstance(own, dict) else own)]
    if len(places) > 1:
        raise Unsettable(f"there are {len(places)} evaluators of this name. Write evaluators[{places[0]}].{rest}.")
    return f"evaluators[{places[0]}].{rest}" if places else override


def _requirements(read: RecipeText) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Distributions that are required and missing or of another version; and entries that are none."""
    missing, wrong = [], []
    entries = read.values.get("requires")
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        place = read.place(("requires", number))
        if not isinstance(entry, str):
            continue  # validation says so
        try:
            requirement = Requirement(entry)
        except InvalidRequirement:
            expected = "a distribution and its versions, such as langxfer-simpo>=0.1"
            wrong.append((place, f"requires[{number}] is {found(entry)}; expected {expected}."))
            continue
        if requirement.marker and not requirement.marker.evaluate():
            continue
        state = _state(requirement)
        if state is not None:
            missing.append((place, f'This recipe requires {entry}{state}:  pip install "{entry}"'))
    return missing, wrong


def _state(requirement: Requirement) -> str | None:
    """None when the requirement is met; otherwise what is installed instead, if anything."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        # langxfer in a source tree is there without being installed
        return None if requirement.name == "langxfer" else ""
    return None if requirement.specifier.contains(version, prereleases=True) else f", and {version} is installed"


def _order(read: RecipeText) -> Any:
    """Problems are told in the order of the file; those of the command line come after it."""

    def key(problem: tuple[str, str]) -> tuple[bool, int]:
        file, _, line = problem[0].rpartition(":")
        return (False, int(line)) if file == read.name and line.isdigit() else (True, 0)

    return key
