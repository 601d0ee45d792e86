"""Mismatched responses: a prompt with the response to another prompt, for statistics such as KTO's KL.

They are made from encoded examples and not stored: the order of the data and ``max_length``, both part of
the key of the encoding, decide them. No torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from langxfer.data import MismatchedView, View
from langxfer.errors import DataError

if TYPE_CHECKING:
    from langxfer.engine.encode import Encoded


def with_mismatched(
    encoded: Sequence[Encoded], views: Iterable[MismatchedView], max_length: int, name: str
) -> list[Encoded]:
    """The examples, in their order, with the responses of ``views`` added; unchanged where there are none.

    A mismatched response is the one of the next example of the same language pair, the first one's for the
    last example, cut to ``max_length`` tokens with its new prompt. Prompts are shorter than that, so one token
    is left at the least. ``name`` is what an error calls the examples.

    Raises:
        DataError: a language pair has a single example, so that there is no other response.
    """
    views = sorted(views)
    if not views:
        return list(encoded)
    following = _following(encoded)
    alone = [example.id for example, other in zip(encoded, following, strict=True) if other is example]
    if alone:
        raise DataError(
            f"{name}: the only example of its language pair is {alone[0]}. The objective pairs each prompt with the "
            "response to another one, so it needs two or more of a pair. Use more rows, or raise data.validation."
        )
    return [
        replace(
            example, responses={**example.responses, **{v: _response(example, other, v, max_length) for v in views}}
        )
        for example, other in zip(encoded, following, strict=True)
    ]


def _following(encoded: Sequence[Encoded]) -> list[Encoded]:
    """For every example the next one of its language pair, in the order of the data, around the end."""
    pairs: dict[str, list[int]] = {}
    for number, example in enumerate(encoded):
        pairs.setdefault(example.id.rpartition("/")[2], []).append(number)  # ids are row/TARGET
    following: dict[int, Encoded] = {}
    for numbers in pairs.values():
        for place, number in enumerate(numbers):
            following[number] = encoded[numbers[(place + 1) % len(numbers)]]
    return [following[number] for number in range(len(encoded))]


def _response(example: Encoded, other: Encoded, view: MismatchedView, max_length: int) -> list[int]:
    """Of two renderings of ``other``'s answer the one that followed a prompt of the same language as here."""
    response = other.responses[View[view.name]]
    return response[: max_length - len(example.prompts[view.prompt])]
