"""The recipe narrowed to what is installed: one type for validation, JSON schema and completion.

In Python a recipe takes any instance of a component kind. From YAML it takes what the catalog
holds, chosen by ``name``, and nothing is turned into another type on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, InstanceOf, Strict, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from langxfer.components import KINDS, Component
from langxfer.plugins import Catalog
from langxfer.recipe import Recipe
from langxfer.recipe_text import Path

T = TypeVar("T", bound=BaseModel)
MARK = "\0"  # begins the tags of unions in error locations; YAML allows no key with it
STRICT = (bool, int, float)  # pydantic would read the text "3" or true as the number 3 or 1


def narrowed(catalog: Catalog, section: type[T] = Recipe) -> type[T]:
    """The section type whose component fields take what is installed; a bare name stands for its defaults.

    Made once for a catalog: most of the time that loading a recipe takes is this.
    """
    if section not in catalog.narrowings:
        catalog.narrowings[section] = _Narrowing(catalog, section).narrowed
    return catalog.narrowings[section]


def opened(value: Any) -> Any:
    """A narrowed value as the open one that Python code would have made: same values, original classes."""
    if isinstance(value, BaseModel):
        cls = getattr(type(value), "_opened", type(value))
        fields = {name: opened(getattr(value, name)) for name in cls.model_fields}
        return cls.model_construct(_fields_set=set(value.model_fields_set), **fields)
    if isinstance(value, tuple | list | set | frozenset):
        return type(value)(opened(item) for item in value)
    if isinstance(value, dict):
        return {key: opened(item) for key, item in value.items()}
    return value


def kind_in(annotation: Any) -> type[Component] | None:
    """The component kind that an annotation takes, if it takes one."""
    return next((cls for cls in models_in(annotation) if cls in KINDS), None)  # type: ignore[comparison-overlap]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models that an annotation names."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [cls for argument in get_args(annotation) for cls in models_in(argument)]


def options_of(cls: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields as they are called in YAML; a component's name is no option."""
    return {
        info.alias or name: info
        for name, info in cls.model_fields.items()
        if not (name == "name" and issubclass(cls, Component))
    }


def takes_component(path: Path, values: Any, catalog: Catalog) -> bool:
    """Whether a component stands at ``path`` of a recipe's ``values``."""
    cls: type[BaseModel] | None = Recipe
    kind: type[Component] | None = None
    for step in path:
        values = values[step]
        if isinstance(step, str):
            info = options_of(cls).get(step) if cls else None
            kind = kind_in(info.annotation) if info else None
            cls = next((model for model in models_in(info.annotation) if model is not kind), None) if info else None
        name = values.get("name") if isinstance(values, dict) else None
        if kind and isinstance(name, str):
            cls = catalog.classes(kind.kind).get(name)
    return kind is not None


class _Narrowing:
    """Makes each narrowed class once; components may hold components of their own kind."""

    def __init__(self, catalog: Catalog, section: type[BaseModel]):
        self._made: dict[type[BaseModel], type[BaseModel]] = {}
        self._slots = {kind: _Slot(kind, {}) for kind in KINDS}
        for kind in KINDS:
            for name, cls in catalog.classes(kind.kind).items():
                self._slots[kind].classes[name] = self._model(cls)
        self.narrowed: type[Any] = self._model(section)
        for cls in self._made.values():
            cls.model_rebuild()

    def _model(self, cls: type[BaseModel]) -> type[BaseModel]:
        if cls not in self._made:
            self._made[cls] = cls  # ends the recursion of a model that holds itself
            fields: dict[str, Any] = {}
            for name, info in cls.model_fields.items():
                annotation = self._annotation(info.annotation)
                if annotation != info.annotation:
                    field = copy(info)
                    field.metadata = [item for item in info.metadata if not _is_instance_check(item)]
                    fields[name] = (annotation, field)
            options: dict[str, Any] = {"defer_build": True}
            if issubclass(cls, Component):
                options["validate_by_name"] = False  # in YAML an option has one name: its alias, where it has one
                fields["name"] = (cls.model_fields["name"].annotation, ...)  # what tells one component from another
            made = create_model(
                cls.__name__,
                __base__=cls,
                __module__=cls.__module__,
                __doc__=cls.__doc__,
                __cls_kwargs__=options,
                **fields,
            )
            made._opened = cls  # type: ignore[attr-defined]
            self._made[cls] = made
        return self._made[cls]

    def _annotation(self, annotation: Any) -> Any:
        """The annotation with kinds, models and numbers narrowed, wherever they stand in it."""
        if annotation in STRICT:
            return Annotated[annotation, Strict()]
        if isinstance(annotation, type) and not get_args(annotation):
            if annotation in self._slots:
                return Annotated[annotation, self._slots[annotation]]
            return self._model(annotation) if issubclass(annotation, BaseModel) else annotation
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            kept = tuple(item for item in arguments[1:] if not _is_instance_check(item))
            inner = self._annotation(arguments[0])
            return Annotated[inner, *kept] if kept else inner
        if origin in (Union, UnionType):
            return reduce(or_, (self._annotation(argument) for argument in arguments))
        if origin in (tuple, list, set, frozenset, dict):
            return origin[tuple(item if item is ... else self._annotation(item) for item in arguments)]
        return annotation


def _is_instance_check(item: Any) -> bool:
    return isinstance(item, InstanceOf)


def _is_needed(field: tuple[str, FieldInfo]) -> bool:
    """Whether an option has to be given, so that the component's name alone is not enough."""
    name, info = field
    return name != "name" and info.is_required()


class _Slot:
    """Takes any installed component of a kind: a mapping with its name, or the name alone."""

    def __init__(self, kind: type[Component], classes: dict[str, type[BaseModel]]):
        self.kind, self.classes = kind, classes

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        choices = {f"{MARK}{name}": handler.generate_schema(cls) for name, cls in self.classes.items()}
        union = core_schema.tagged_union_schema(choices, lambda value: f"{MARK}{value['name']}")
        return core_schema.no_info_before_validator_function(
            self._named, union if choices else core_schema.any_schema()
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if not self.classes:
            return {"enum": []}
        union = handler(schema["schema"])  # type: ignore[typeddict-item]
        bare = [name for name, cls in self.classes.items() if not any(map(_is_needed, cls.model_fields.items()))]
        return {"anyOf": [*([{"enum": bare}] if bare else []), *union.get("oneOf", [union])]}

    def _named(self, value: Any) -> Any:
        """The value as a mapping with the name of an installed component."""
        named = {"name": value} if isinstance(value, str) else value
        name = named.get("name") if isinstance(named, Mapping) else None
        if not isinstance(name, str):
            raise PydanticCustomError("component_unnamed", "{kind}", {"kind": self.kind.kind})
        if name not in self.classes:
            raise PydanticCustomError("component_unknown", "{kind}", {"kind": self.kind.kind, "name": name})
        return named
