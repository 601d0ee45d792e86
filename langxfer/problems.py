"""What is wrong with a recipe, as sentences: where, what was found, what was expected, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from langxfer.components import Component
from langxfer.narrowing import MARK, kind_in, models_in, options_of
from langxfer.plugins import Catalog
from langxfer.recipe import Recipe
from langxfer.recipe_text import Path, RecipeText, found, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# pydantic's name of an error -> what was expected, with pydantic's context filled in
EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "path_type": "a path",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} character(s)",
    "string_too_long": "at most {max_length} character(s)",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "at least {min_length} item(s)",
    "too_long": "at most {max_length} item(s)",
}


@dataclass(frozen=True)
class _Spot:
    """Where an error is, in the user's words.

    Attributes:
        path: without pydantic's labels of alternatives.
        owner: the class whose field the path ends in.
        value: what was written there.
    """

    path: Path
    owner: type[BaseModel]
    value: Any

    @property
    def field(self) -> FieldInfo | None:
        return options_of(self.owner).get(str(self.path[-1])) if self.path else None


def describe(
    error: ValidationError,
    text: RecipeText,
    catalog: Catalog,
    hints: Sequence[str] = (),
    section: type[BaseModel] = Recipe,
) -> list[tuple[str, str]]:
    """(place, sentence) of everything that pydantic found wrong with ``text.values``, read as a ``section``.

    ``hints`` are lines about distributions that are required and missing: they follow an unknown name.
    """
    grouped: dict[Path, list[tuple[ErrorDetails, _Spot]]] = {}
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # its items are wrong, and that is said of them
        spot = _spot(item, text.values, catalog, section)
        grouped.setdefault(spot.path, []).append((item, spot))
    problems: list[tuple[str, str]] = []
    for path, group in grouped.items():
        mismatches = [item for item, _ in group if item["type"] in EXPECTED]
        if mismatches:  # more than one where a union offers alternatives
            problems.append((text.place(path), _mismatch(mismatches, path, group[0][1].value)))
        others = [(item, spot) for item, spot in group if item["type"] not in EXPECTED]
        for item, spot in others:
            if item["type"] == "value_error" and not path:  # recipe.py's checks across sections, each with its path
                sentences = str(item["ctx"]["error"]).split("; ")
                problems += [(text.place(_leading_path(sentence)), f"{sentence}.") for sentence in sentences]
                continue
            place = text.place((*path, "name") if item["type"] == "component_unknown" else path)
            problems.append((place, _sentence(item, spot, catalog, hints)))
    return problems


def _leading_path(sentence: str) -> Path:
    """The path with which a sentence begins: ``data.format``, ``phases[0].training.keep``."""
    start = re.match(r"[a-z_]+(?:\[\d+\]|\.[a-z_]+)*", sentence)
    steps = re.findall(r"[a-z_]+|\d+", start[0]) if start else []
    return tuple(int(step) if step.isdigit() else step for step in steps)


def near(word: str, known: Iterable[str]) -> str:
    """The question whether another word was meant; empty when none is near."""
    matches = difflib.get_close_matches(word, list(known), 1)
    return f'Did you mean "{matches[0]}"?' if matches and matches[0] != word else ""


def _spot(item: ErrorDetails, values: Any, catalog: Catalog, section: type[BaseModel]) -> _Spot:
    """Follow pydantic's location through the values; what is in neither is a label of pydantic's."""
    path: list[str | int] = []
    owner: type[BaseModel] = section
    inside: type[BaseModel] = section
    kind: type[Component] | None = None
    for position, step in enumerate(item["loc"]):
        if isinstance(step, str) and step.startswith(MARK):
            assert kind is not None
            inside = catalog.lookup(kind.kind, step.removeprefix(MARK)).cls
            continue
        if isinstance(values, list):  # of a list that is too short, pydantic names places that are not there
            here = isinstance(step, int) and step < len(values)
        else:
            here = isinstance(values, dict) and step in values
        if here:
            values = values[step]
        elif not (item["type"] == "missing" and position == len(item["loc"]) - 1):
            continue
        path.append(step)
        if isinstance(step, str):
            owner = inside
            annotation = field.annotation if (field := options_of(owner).get(step)) else None
            kind = kind_in(annotation)
            inside = next((cls for cls in models_in(annotation) if cls is not kind), owner)
    return _Spot(tuple(path), owner, values)


def _mismatch(items: Sequence[ErrorDetails], path: Path, value: Any) -> str:
    """The value is of another type or size than expected."""
    phrases = [_expected(item) for item in items]
    known = [word for item in items for word in str(item.get("ctx", {}).get("expected", "")).split("'")]
    question = near(value, known) if isinstance(value, str) else ""
    return f"{shown(path)} is {found(value)}; expected {' or '.join(dict.fromkeys(phrases))}. {question}".rstrip()


def _expected(item: ErrorDetails) -> str:
    context = {key: f"{value:g}" if isinstance(value, float) else value for key, value in item.get("ctx", {}).items()}
    return EXPECTED[item["type"]].format(**context).replace("'", '"')


def _sentence(item: ErrorDetails, spot: _Spot, catalog: Catalog, hints: Sequence[str]) -> str:
    if item["type"] == "missing":
        return _missing(spot, catalog)
    if item["type"] == "extra_forbidden":
        return _unknown_option(spot, catalog)
    if item["type"] == "component_unknown":
        return _not_installed(item["ctx"]["kind"], item["ctx"]["name"], catalog, hints)
    if item["type"] == "component_unnamed":
        return _unnamed(item["ctx"]["kind"], spot, catalog)
    prefix = f"{shown(spot.path)}: " if spot.path else ""
    if item["type"] in ("value_error", "assertion_error"):
        return f"{prefix}{item['ctx']['error']}"
    expected = item["msg"].removeprefix("Input should be ")
    if expected != item["msg"]:
        return f"{shown(spot.path)} is {found(spot.value)}; expected {expected}."
    return f"{prefix}{item['msg']}"


def _missing(spot: _Spot, catalog: Catalog) -> str:
    kind = kind_in(spot.field.annotation) if spot.field else None
    if kind:
        return f"{shown(spot.path)} is missing; expected the name of {_a(kind.kind)}.  {_installed(kind.kind, catalog)}"
    choices = _choices(spot.field.annotation) if spot.field else []
    expected = f"; expected {', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else ""
    about = f" {spot.field.description}" if spot.field and spot.field.description else ""
    return f"{shown(spot.path)} is missing{expected}.{about}"


def _choices(annotation: Any) -> list[str]:
    return [found(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _unknown_option(spot: _Spot, catalog: Catalog) -> str:
    options = sorted(options_of(spot.owner))
    if issubclass(spot.owner, Component):
        name = str(spot.owner.model_fields["name"].default)
        brought_by = catalog.lookup(spot.owner.kind, name)
        owner = f'{spot.owner.kind} "{name}" ({f"{brought_by.distribution} {brought_by.version}".rstrip()})'
    else:
        owner = shown(spot.path[:-1])
    question = near(str(spot.path[-1]), options)
    listed = f"Options: {', '.join(options) or 'none'}."
    return f"{shown(spot.path)} is not an option of {owner}.\n  {f'{question}  ' if question else ''}{listed}"


def _not_installed(kind: str, name: str, catalog: Catalog, hints: Sequence[str]) -> str:
    question = near(name, catalog.components[kind])
    first = f'{kind} "{name}" is not installed.  {f"{question}  " if question else ""}{_installed(kind, catalog)}'
    failed = [f"Plugin {info.name} could not be loaded: {info.error}" for info in catalog.plugins if info.error]
    return "\n  ".join([first, *hints, *failed])


def _unnamed(kind: str, spot: _Spot, catalog: Catalog) -> str:
    if isinstance(spot.value, Mapping):
        value = spot.value.get("name")
        problem = f"has {found(value)} as its name" if "name" in spot.value else "has no name"
    else:
        problem = f"is {found(spot.value)}"
    return f"{shown(spot.path)} {problem}; expected the name of {_a(kind)}.  {_installed(kind, catalog)}"


def _installed(kind: str, catalog: Catalog) -> str:
    return f"Installed: {', '.join(catalog.components[kind]) or 'none'}."


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
