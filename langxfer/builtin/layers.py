"""Ranges of decoder layers, as selectors take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import Field, field_validator

from langxfer.builtin.parts import Stack
from langxfer.components import Selector
from langxfer.errors import RecipeError


class LayeredSelector(Selector):
    """A selector that can be kept to some of the decoder layers."""

    layers: tuple[tuple[int, int], ...] | None = Field(
        None,
        description="Ranges [first, last] of decoder layers, both included. Layers count from 0; "
        "negative numbers count from the end, so [-4, -1] is the last four. null: all layers.",
    )

    @field_validator("layers")
    @classmethod
    def _ordered(cls, ranges: tuple[tuple[int, int], ...] | None) -> tuple[tuple[int, int], ...] | None:
        if ranges is not None and not ranges:
            raise ValueError("an empty list holds no layer, so nothing would be trained. Leave it out for all layers")
        for first, last in ranges or ():
            if first > last and (first < 0) == (last < 0):
                raise ValueError(f"in [{first}, {last}] the first layer comes after the last")
        return ranges

    def within(self, names: Iterable[str]) -> Callable[[str], bool]:
        """Tells of each of a model's parameters whether it is in the chosen layers; without ``layers`` all are.

        Raises:
            RecipeError: a range lies outside the model.
        """
        if self.layers is None:
            return lambda name: True
        stack = Stack(names)
        chosen: set[int] = set()
        for first, last in self.layers:
            start, end = (number + stack.count if number < 0 else number for number in (first, last))
            if not 0 <= start <= end < stack.count:
                raise RecipeError(
                    f'selector "{self.name}": layers [{first}, {last}] is no range of this model, which has '
                    f"{stack.count} layers: 0 to {stack.count - 1}, or {-stack.count} to -1 from the end."
                )
            chosen.update(range(start, end + 1))
        return lambda name: stack.layer(name) in chosen
