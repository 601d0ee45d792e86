"""What pydantic found wrong with a recipe, as sentences with file, line, path and remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from langxfer.components import Component

if TYPE_CHECKING:
    from langxfer.plugins import Catalog

Path = tuple[str | int, ...]

EXPECTED = {  # pydantic's error type, by its beginning -> what was expected
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "model": "a mapping",
}
BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "too_short": ("min_length", "a list of at least"),
    "string_too_short": ("min_length", "text of at least"),
}


@dataclass(frozen=True)
class Source:
    """Where values come from: a file with its node tree, and the paths set on the command line."""

    file: str
    node: Any
    changed: Mapping[Path, str]

    def place(self, path: Path) -> str:
        """``file:line`` of a path, or the ``--set`` that put it there."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.changed:
                return self.changed[path[:end]]
        node, line = self.node, 1
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            node, line = found
        return f"{self.file}:{line}"


def _child(node: Any, step: str | int) -> tuple[Any, int] | None:
    """A node below another, and its line."""
    value = getattr(node, "value", None)
    if not isinstance(value, list):
        return None
    if isinstance(step, int):
        return (value[step], value[step].start_mark.line + 1) if step < len(value) and not isinstance(value[0], tuple) else None
    pairs = (pair for pair in value if isinstance(pair, tuple))
    return next(((child, key.start_mark.line + 1) for key, child in pairs if key.value == step), None)


def describe(
    error: ValidationError, recipe: type[BaseModel], raw: Mapping[str, Any], source: Source, catalog: Catalog
) -> list[str]:
    """One sentence for each thing that pydantic found, in the order of the file."""
    problems = []
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # its items were wrong, which is said of them
        path, classes = _locate(item["loc"], recipe, raw)
        problems.append(f"{source.place(path)}  {_sentence(item, path, classes, catalog)}")
    return problems


def _locate(loc: Sequence[str | int], recipe: type[BaseModel], raw: Any) -> tuple[Path, list[type[BaseModel]]]:
    """The path as the author knows it (without the tags of unions), and the classes that stand there."""
    path: list[str | int] = []
    classes: list[type[BaseModel]] = [recipe]
    here: Any = raw
    for step in loc:
        if isinstance(step, str) and any(_tag(cls) == step for cls in classes) and not (isinstance(here, dict) and step in here):
            classes = [cls for cls in classes if _tag(cls) == step]
            continue
        if isinstance(step, str) and ("[" in step or "(" in step):  # pydantic's own names of validators
            continue
        path.append(step)
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            here = here[step]
        else:
            here = None
        if isinstance(step, str):
            inner = [_classes(info.annotation) for cls in classes for name, info in _options(cls).items() if name == step]
            if inner:
                classes = inner[0] or classes
    return tuple(path), classes


def _options(cls: type[BaseModel]) -> dict[str, Any]:
    return {info.alias or name: info for name, info in cls.model_fields.items()}


def _tag(cls: type[BaseModel]) -> str | None:
    return cls.model_fields["name"].default if issubclass(cls, Component) else None


def _classes(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [cls for argument in get_args(annotation) for cls in _classes(argument)]


def _sentence(item: Any, path: Path, classes: list[type[BaseModel]], catalog: Catalog) -> str:
    shown, kind = shown_path(path), item["type"]
    if kind == "extra_forbidden":
        return _unknown_option(path, classes[0], catalog)
    if kind == "missing":
        field = _options(classes[0]).get(str(path[-1])) if path else None
        about = f" {field.description}" if field is not None and field.description else ""
        return f"{shown} is missing.{about}"
    component = next((cls for cls in classes if issubclass(cls, Component)), None)
    if component is not None and (kind == "union_tag_invalid" or (kind == "literal_error" and path[-1:] == ("name",))):
        name = item["input"].get("name") if isinstance(item["input"], dict) else item["input"]
        return _not_installed(str(name), component.kind, catalog)
    if kind == "union_tag_not_found":
        return f"{shown} has no name. Write name: and one of {', '.join(str(_tag(cls)) for cls in classes)}."
    if kind == "value_error":
        text = str(item["ctx"]["error"]).rstrip(".")
        return f"{shown + ': ' if path else ''}{text}."
    found = _found(item["input"])
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        unit = {"too_short": " item", "string_too_short": " character"}.get(kind, "")
        return f"{shown} is {found}; expected {words} {item['ctx'][name]}{unit}."
    if kind == "literal_error":
        near = _near(str(item["input"]), [text.strip("' ") for text in item["ctx"]["expected"].replace(" or ", ", ").split(",")])
        return f"{shown} is {found}; expected one of {item['ctx']['expected']}.{near}"
    expected = next((words for start, words in EXPECTED.items() if kind.startswith(start)), None)
    return f"{shown} is {found}; expected {expected}." if expected else f"{shown} is {found}: {item['msg']}."


def shown_path(path: Path) -> str:
    """``("phases", 0, "objective")`` becomes ``phases[0].objective``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".") or "the recipe"


def _found(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _unknown_option(path: Path, cls: type[BaseModel], catalog: Catalog) -> str:
    options = _options(cls)
    shown = shown_path(path)
    if issubclass(cls, Component):
        registration = catalog.lookup(cls.kind, str(_tag(cls)))
        owner = f"{registration.distribution} {registration.version}".strip()
        options.pop("name")
        about = f'{shown} is not an option of {cls.kind} "{_tag(cls)}" ({owner}).'
    else:
        about = f"{shown} is not a key of {shown_path(path[:-1])}."
    near = _near(str(path[-1]), list(options))
    names = ", ".join(sorted(options)) or "none"
    return f"{about}\n {near}  Options: {names}." if near else f"{about}\n  Options: {names}."


def _near(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f' Did you mean "{near[0]}"?' if near else ""


def _not_installed(name: str, kind: str, catalog: Catalog) -> str:
    near = _near(name, list(catalog.components[kind]))
    text = f'{kind} "{name}" is not installed.{near}  Installed: {", ".join(catalog.components[kind])}.'
    for info in catalog.plugins:
        if info.error:
            text += f"\n  Plugin {info.name} failed to load, and may be where it is from: {info.error}"
    return text
