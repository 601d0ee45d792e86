"""What a selector chooses from a model's parameter names, checked. No torch."""

from __future__ import annotations

from collections.abc import Iterator

from langxfer.components import Selector
from langxfer.errors import RecipeError
from langxfer.recipe import Recipe


def chosen(selector: Selector, shapes: dict[str, tuple[int, ...]]) -> frozenset[str]:
    """The selector's answer.

    Raises:
        RecipeError: it is empty, or names parameters that the model lacks, or an option does.
    """
    names = selector.select(shapes)
    if not names:
        offered = sorted({".".join(part for part in name.split(".") if not part.isdigit()) for name in shapes})
        raise RecipeError(
            f'selector "{selector.name}" matches no parameter of the model. Its parameters are: '
            f"{', '.join(offered[:12])}{', …' if len(offered) > 12 else ''}. Choose another selector."
        )
    unknown = sorted(names - shapes.keys())
    if unknown:
        raise RecipeError(
            f'selector "{selector.name}" chose parameters that the model lacks: {", ".join(unknown[:5])}.'
        )
    return names


def advice(recipe: Recipe) -> Iterator[str]:
    """What the selectors of a recipe warn of."""
    for number, phase in enumerate(recipe.phases):
        for sentence in phase.selector.advice(recipe.data.target_languages):
            yield f'phases[{number}].selector "{phase.selector.name}": {sentence}'
