"""From YAML text and a catalog to a recipe. All errors are collected, each with file and line.

A recipe can never import or execute anything: the YAML loader knows plain values only, and names
are looked up in the catalog.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from operator import or_
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from langxfer.components import KINDS, Component
from langxfer.errors import RecipeError
from langxfer.plugins import Catalog
from langxfer.problems import Source, describe
from langxfer.recipe import Data, Phase, Recipe

STEP = re.compile(r"([A-Za-z_][\w-]*)|\[(\d+)\]")


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with its paths resolved, the text it came from, and where that was."""

    recipe: Recipe
    text: str
    path: Path


def load_recipe(name: str, catalog: Catalog, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read, narrow and validate a recipe.

    Args:
        name: path of a YAML file, or name of a registered recipe.
        overrides: ``path=value`` as given to ``--set``.

    Raises:
        RecipeError: everything that is wrong with it, one problem after the other.
    """
    path = _find(name, catalog)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}). Expected a YAML file in UTF-8.") from None
    raw, node = _parse(path, text)
    changed = {_set(raw, override): f"--set {override.partition('=')[0]}" for override in overrides}
    source = Source(str(path), node, changed)
    recipe_type = narrowed(catalog)
    problems = _requirements(raw, source)
    try:
        recipe = recipe_type.model_validate(raw)
    except ValidationError as error:
        problems = [*describe(error, recipe_type, raw, source, catalog), *problems]
    if problems:
        raise RecipeError(problems)
    return LoadedRecipe(recipe.resolved(path.resolve().parent), text, path)


def _find(name: str, catalog: Catalog) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if name in catalog.recipes:
        return catalog.recipes[name][0]
    known = ", ".join(catalog.recipes) or "none"
    raise RecipeError(f"{name}: there is no such file, and no registered recipe of that name. Registered: {known}.")


def _parse(path: Path, text: str) -> tuple[dict[str, Any], Any]:
    """Plain values, and the node tree that knows their lines."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: `no` is a word, 5e-5 is a number
    try:
        node, raw = yaml.compose(text), yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        found = str(error.problem or error.context).strip().splitlines()[0]
        raise RecipeError(f"{path}{line}  this is not valid YAML: {found}.") from None
    except YAMLError as error:
        raise RecipeError(f"{path}  this is not valid YAML: {str(error).splitlines()[0]}.") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}:1  expected a mapping with title, model, data, phases …; found {type(raw).__name__}.")
    return raw, node


def _set(raw: dict[str, Any], override: str) -> tuple[str | int, ...]:
    """Apply one ``path=value`` to the raw recipe; gives the path as a tuple."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    text, equals, value_text = override.partition("=")
    steps: list[str | int] = [int(index) if index else name for name, index in STEP.findall(text)]
    if not equals or not steps or re.sub(STEP, "", text).strip("."):
        raise RecipeError(f"--set {override}: expected path=value, such as phases[0].objective.beta=0.2.")
    try:
        value = YAML(typ="safe", pure=True).load(value_text)
    except YAMLError:
        raise RecipeError(f"--set {override}: {value_text!r} is not a YAML value.") from None
    here: Any = raw
    for place, (step, following) in enumerate(zip(steps, [*steps[1:], None], strict=True)):
        if isinstance(step, int):
            if not isinstance(here, list) or step >= len(here):
                count = f"it has {len(here)} items" if isinstance(here, list) else "that is not a list"
                raise RecipeError(f"--set {text}: there is no item [{step}] at {_shown(steps[:place])}: {count}.")
        elif not isinstance(here, dict):
            raise RecipeError(f"--set {text}: {_shown(steps[:place])} is not a mapping, so {step} cannot be set in it.")
        if following is None:
            here[step] = value
        else:
            inner = here[step] if isinstance(step, int) else here.get(step)
            if inner is None:
                inner = {}
            elif isinstance(inner, str):  # a component written by its name alone
                inner = {"name": inner}
            here[step] = inner
            here = inner
    return tuple(steps)


def _shown(steps: Sequence[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
    return text or "the top"


def _requirements(raw: Mapping[str, Any], source: Source) -> list[str]:
    """Distributions that the recipe requires and that are not installed, or too old."""
    from packaging.requirements import InvalidRequirement, Requirement

    problems: list[str] = []
    entries = raw.get("requires")
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        where = source.place(("requires", number))
        try:
            requirement = Requirement(str(entry))
        except InvalidRequirement:
            problems.append(f"{where}  requires[{number}] is {entry!r}; expected a distribution such as langxfer-simpo>=0.1.")
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            problems.append(f'{where}  This recipe requires {entry}:  pip install "{entry}"')
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            problems.append(f'{where}  This recipe requires {entry}, and {found} is installed:  pip install "{entry}"')
    return problems


# ------------------------------------------------------------ narrowing to what is installed


def narrowed(catalog: Catalog) -> type[Recipe]:
    """The recipe type whose component fields accept exactly what is installed, by name."""
    classes = {kind: [*catalog.classes(kind.kind).values()] for kind in KINDS}
    names = {kind: ForwardRef(f"Installed{kind.__name__}") for kind in KINDS}
    inner = {kind: [_with_fields(cls, names) for cls in own] for kind, own in classes.items()}
    unions = {kind: _union(own, kind) for kind, own in inner.items()}
    namespace = {names[kind].__forward_arg__: union for kind, union in unions.items()}
    for own in inner.values():
        for cls in own:
            cls.model_rebuild(_types_namespace=namespace)
    data, phase = _with_fields(Data, unions), _with_fields(Phase, unions)
    return _with_fields(Recipe, {**unions, Data: data, Phase: phase})


def _union(classes: Sequence[type[Component]], kind: type[Component]) -> Any:
    """Any of the classes, chosen by ``name``; a bare name stands for a component with default options."""
    if not classes:
        return kind
    choice: Any = classes[0]
    if len(classes) > 1:
        choice = Annotated[Union[tuple(classes)], Field(discriminator="name")]  # noqa: UP007 (made at run time)
    named = [cls.model_fields["name"].default for cls in classes]

    def expand(value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    return Annotated[choice, BeforeValidator(expand, json_schema_input_type=choice | _name_type(named))]


def _name_type(names: Sequence[str]) -> Any:
    from typing import Literal

    return Literal[tuple(names)]


def _with_fields(cls: type[BaseModel], replacements: Mapping[type, Any]) -> Any:
    """A subclass whose fields are narrowed, or the class itself when there is nothing to narrow."""
    fields: dict[str, Any] = {}
    for name, info in cls.model_fields.items():
        annotation = _replace(info.annotation, replacements)
        if annotation is not info.annotation:
            fields[name] = (annotation, _bare(info))
    if not fields:
        return cls
    return create_model(cls.__name__, __base__=cls, __module__=cls.__module__, __doc__=cls.__doc__, **fields)


def _bare(info: FieldInfo) -> Any:
    """The field without what only the open type needs (instance checks)."""
    options: dict[str, Any] = {"description": info.description, "alias": info.alias}
    if info.default_factory is not None:
        return Field(default_factory=info.default_factory, **options)
    bounds = {type(item).__name__: item for item in info.metadata}
    if "MinLen" in bounds:
        options["min_length"] = bounds["MinLen"].min_length
    return Field(default=info.default, **options)


def _replace(annotation: Any, replacements: Mapping[type, Any]) -> Any:
    """The annotation with component kinds replaced, wherever they stand in it."""
    if isinstance(annotation, type) and annotation in replacements:
        return replacements[annotation]
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        inner = _replace(arguments[0], replacements)
        return annotation if inner is arguments[0] else inner
    changed = tuple(_replace(argument, replacements) for argument in arguments)
    if all(new is old for new, old in zip(changed, arguments, strict=True)):
        return annotation
    if get_origin(annotation) in (tuple, list):
        return get_origin(annotation)[changed]
    if any(isinstance(item, ForwardRef) for item in changed):
        return Union[changed]  # noqa: UP007 (a forward reference knows no |)
    return reduce(or_, changed)


def schema(catalog: Catalog) -> dict[str, Any]:
    """JSON schema of recipes, with the options of everything that is installed."""
    found = narrowed(catalog).model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
