"""Regular expressions on names: checked when a recipe is read, and helpful when they match nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from langxfer.builtin.parts import generic
from langxfer.errors import RecipeError

OUTPUT_LAYERS = ("lm_head.weight", "embed_out.weight")


def check_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns themselves: a validator for pydantic.

    Raises:
        ValueError: one is not a regular expression.
    """
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f'"{pattern}" is not a regular expression ({error})') from None
    return patterns


def matching(selector: str, option: str, patterns: Iterable[str], names: Iterable[str]) -> frozenset[str]:
    """The names that match at least one pattern, from end to end (``re.fullmatch``).

    Raises:
        RecipeError: a pattern matches none of the names; the message gives the nearest.
    """
    known = sorted(names)
    found: set[str] = set()
    for pattern in patterns:
        own = [name for name in known if re.fullmatch(pattern, name)]
        if not own:
            raise RecipeError(f'selector "{selector}": {option}: "{pattern}" {_nothing(pattern, known)}')
        found.update(own)
    return frozenset(found)


def _nothing(pattern: str, names: list[str]) -> str:
    """The rest of a sentence about a pattern that matches nothing."""
    tied = next((name for name in OUTPUT_LAYERS if name not in names and re.fullmatch(pattern, name)), None)
    if tied:
        return (
            f"matches nothing: the model has no {tied} of its own. Its output layer is tied to the token embedding, "
            f"so name that one: {', '.join(name for name in names if 'embed' in name or 'wte' in name) or 'it'}."
        )
    return f"matches nothing; it has to match a whole name. The nearest are: {', '.join(nearest(pattern, names))}."


def nearest(pattern: str, names: Iterable[str]) -> list[str]:
    """Up to three names that look most like a regular expression, one of each kind of layer."""
    kinds: dict[str, str] = {}
    for name in names:
        kinds.setdefault(generic(name), name)
    spelled = re.sub(r"\\(.)", r"\1", re.sub(r"\\d[+*]?|\[0-9\][+*]?", "0", pattern)).replace(".*", "")
    return get_close_matches(spelled, kinds.values(), n=3, cutoff=0.0)
