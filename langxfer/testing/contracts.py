"""What every component keeps to."""

from __future__ import annotations

import json
from typing import Any

from langxfer.components import Component, nested


def require(holds: Any, message: str) -> None:
    """Raises AssertionError, under ``python -O`` too."""
    if not holds:
        raise AssertionError(message)


def check_component(component: Component, kind: type[Component]) -> None:
    """Its name, its options as JSON, and what it gives to cache keys."""
    own = type(component)
    require(isinstance(component, kind), f"{own.__name__} is not a subclass of {kind.__name__}")
    default = own.model_fields["name"].default
    require(component.name == default, f"name is {component.name!r}; its Literal needs the same default")
    dumped = component.model_dump(mode="json")
    if not list(nested(component)):
        require(
            own.model_validate(dumped) == component, f"{default}: reading its own JSON gives another value: {dumped}"
        )
    what = component.what()
    try:
        again = json.loads(json.dumps(what, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{default}: what() is not JSON ({error}); cache keys are made of it") from None
    require(again == what == component.what(), f"{default}: what() must give plain JSON values, and always the same")
