"""YAML text as plain values that remember where each stood; and single values changed on the command line.

Only mappings, lists, text, numbers, true, false and null exist here: a recipe can construct nothing else.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

if TYPE_CHECKING:
    from langxfer.recipe import Recipe

Path = tuple[str | int, ...]

STEP = re.compile(r"\.?([A-Za-z_][\w-]*)|\[(\d+)\]")
TAGS = {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}
# Words to people, types to YAML 1.1. They stay what was written.
TEXT_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "merge", "value")}


class Unreadable(Exception):
    """The text cannot be read any further; its argument is a problem with its place."""


class Unsettable(Exception):
    """A ``--set`` names a place that does not exist; its argument says why."""


@dataclass
class RecipeText:
    """Values read from YAML, where each was written, and what was wrong with the writing.

    Attributes:
        name: of the file, as the user gave it.
        values: mappings, lists and scalars.
        places: path -> ``file:line`` or ``--set path``.
        problems: (place, sentence) of what YAML allows and a recipe does not.
    """

    name: str
    values: Any = None
    places: dict[Path, str] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, name: str, text: str) -> RecipeText:
        """Read YAML 1.2, in which ``no`` is a word and 5e-5 a number.

        Raises:
            Unreadable: the text is not YAML.
        """
        read = cls(name)
        yaml = YAML(typ="safe", pure=True)
        try:
            root = yaml.compose(text)
            if root is not None:
                read.places[()] = read._line(root)
                read.values = read._value(yaml, root, ())
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = f":{mark.line + 1}" if mark else ""
            context = f" {error.context}" if error.context else ""
            raise Unreadable(f"{name}{line}  This is not valid YAML: {error.problem}{context}.") from None
        except YAMLError as error:
            raise Unreadable(f"{name}  This is not valid YAML: {' '.join(str(error).split())}.") from None
        except RecursionError:
            raise Unreadable(f"{name}  This is nested too deeply to be a recipe.") from None
        return read

    def place(self, path: Path) -> str:
        """Where a path was written, or else the nearest thing around it."""
        found = next((self.places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.places), None)
        return found or f"{self.name}:1"

    def set(self, text: str, is_component: Callable[[Path], bool]) -> None:
        """Apply ``path=value``, such as ``phases[0].objective.beta=0.2``; the value is YAML.

        ``is_component`` tells whether text at a path is a component's name, which may be given options.

        Raises:
            Unsettable: the path is malformed, or leads through something that is not there.
        """
        target, equals, value = text.partition("=")
        target = target.strip()
        path = _parsed(target)
        if not equals or not path:
            raise Unsettable("expected path=value, such as phases[0].objective.beta=0.2.")
        place = f"--set {target}"
        try:
            read = RecipeText.read(place, value)
        except Unreadable as error:
            raise Unsettable(str(error).partition("  ")[2]) from None
        self._assign(path, read.values, is_component)
        self.places = {known: where for known, where in self.places.items() if known[: len(path)] != path}
        for end in range(1, len(path) + 1):
            self.places.setdefault(path[:end], place)
        self.problems += [(place, sentence) for _, sentence in read.problems]

    def _assign(self, path: Path, value: Any, is_component: Callable[[Path], bool]) -> None:
        here = self.values
        for depth, step in enumerate(path):
            _check_step(here, path[:depth], step)
            if depth == len(path) - 1:
                here[step] = value
                return
            inner = here.get(step) if isinstance(here, dict) else here[step]
            if inner is None and isinstance(path[depth + 1], str):
                inner = here[step] = {}
            elif isinstance(inner, str) and is_component(path[: depth + 1]):
                inner = here[step] = {"name": inner}
            here = inner

    def _value(self, yaml: YAML, node: Node, path: Path) -> Any:
        if node.tag in TEXT_TAGS and isinstance(node, ScalarNode):
            return node.value
        if node.tag not in TAGS:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self._problem(
                node, f"{shown(path)} has the YAML tag {tag}, and a recipe holds plain values only. Remove it."
            )
            return None
        if isinstance(node, MappingNode):
            return self._mapping(yaml, node, path)
        if isinstance(node, SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.places[*path, index] = self._line(item)
                items.append(self._value(yaml, item, (*path, index)))
            return items
        value = yaml.constructor.construct_object(node)
        if isinstance(value, float) and not math.isfinite(value):
            self._problem(node, f"{shown(path)} is {node.value}; expected a finite number.")
        return value

    def _mapping(self, yaml: YAML, node: MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode) or key.tag not in {"tag:yaml.org,2002:str", *TEXT_TAGS}:
                found = key.value if isinstance(key, ScalarNode) else "a list or mapping"
                self._problem(key, f"{shown(path)} has the key {found or 'null'}; expected a name as its key.")
            elif key.value in values:
                first = self.places[*path, key.value].rpartition(":")[2]
                self._problem(
                    key, f"{shown((*path, key.value))} is given twice, first in line {first}. Keep one of them."
                )
            else:
                self.places[*path, key.value] = self._line(key)
                values[key.value] = self._value(yaml, item, (*path, key.value))
        return values

    def _line(self, node: Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"

    def _problem(self, node: Node, sentence: str) -> None:
        self.problems.append((self._line(node), sentence))


def shown(path: Path) -> str:
    """``("phases", 0, "objective")`` as ``phases[0].objective``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".") or "the recipe"


def found(value: Any) -> str:
    """A value as the user wrote it, for a sentence."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}..."'
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _parsed(text: str) -> Path:
    """Empty when the text is no path."""
    steps: list[str | int] = []
    end = 0
    while match := STEP.match(text, end):
        steps.append(match[1] if match[1] else int(match[2]))
        end = match.end()
    return tuple(steps) if end == len(text) and not text.startswith((".", "[")) else ()


def _check_step(here: Any, path: Path, step: str | int) -> None:
    if isinstance(step, int):
        if not isinstance(here, list):
            raise Unsettable(f"{shown(path)} is {found(here)}, so it has no item [{step}].")
        if step >= len(here):
            raise Unsettable(f"{shown((*path, step))} does not exist: {shown(path)} is {found(here)}.")
    elif not isinstance(here, dict):
        raise Unsettable(f"{shown(path)} is {found(here)}, so {step} cannot be set in it.")


def filled(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out; reading it gives an equal recipe."""
    return yaml_text(recipe.model_dump(mode="json", by_alias=True))


def yaml_text(value: Any) -> str:
    """Plain values as YAML, in their order."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.allow_unicode = True
    yaml.width = 10**6  # a long text stays on its line
    out = io.StringIO()
    yaml.dump(value, out)
    return out.getvalue()
