"""What every kind of component shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from langxfer.errors import PluginError

PLUGIN_FILE = "_langxfer_plugin_"  # begins the module's name of a --plugin file; the rest says what is in it


class Component(BaseModel):
    """What every kind of component shares.

    A subclass narrows ``name`` to one Literal, with that literal as its default.
    ``results_version`` is raised when the same options begin to give other results. Of a class in a ``--plugin`` file
    the file's content counts too: while one is at work on it, nobody remembers to raise a number.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    kind: ClassVar[str] = ""
    results_version: ClassVar[int] = 1
    name: str

    def what(self) -> dict[str, Any]:
        """Everything that decides the component's results, as JSON values: part of cache keys."""
        own = {**self.model_dump(mode="json"), "results_version": self.results_version, **self.identity()}
        module = type(self).__module__
        return {**own, "plugin_file": module.removeprefix(PLUGIN_FILE)} if module.startswith(PLUGIN_FILE) else own

    def identity(self) -> dict[str, Any]:
        """What decides results beside the options, as JSON values: file digests, library versions."""
        return {}

    def resolve(self, folder: Path) -> Component:
        """The component with relative paths taken from ``folder``, the recipe's own. No paths: itself."""
        return self


def managed(component: Component, opened: Any) -> Any:
    """What a component's ``open`` gave, which has to be a context manager.

    Raises:
        PluginError: it is none.
    """
    if hasattr(type(opened), "__enter__") and hasattr(type(opened), "__exit__"):
        return opened
    raise PluginError(
        f'{component.kind} "{component.name}": open gives a {type(opened).__name__}; expected a context manager. Put '
        "@contextlib.contextmanager above open, and yield what it gives. This is a fault of the plugin that brings it."
    )


def nested(component: Component) -> Iterator[Component]:
    """The components inside a component (a fallback translator, for instance)."""
    for field_name in type(component).model_fields:
        value = getattr(component, field_name)
        yield from (item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Component))
