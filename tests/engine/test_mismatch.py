"""Mismatched responses: whose they are, how long they may be, and what cannot be paired."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.data import MismatchedView, Side, View
from langxfer.engine.encode import Encoded
from langxfer.engine.mismatch import with_mismatched
from langxfer.errors import DataError

LANGUAGES = ("de", "sw", "zh-Hant")
MAX_LENGTH = 12


def example(row: int, language: str, prompt: int = 3, response: int = 4) -> Encoded:
    """Every token says where it comes from: (row, language, view)."""

    def ids(name: str, length: int) -> list[int]:
        return [hash((row, language, name)) % 10**6] * length

    return Encoded(
        f"row/{row}/{language}",  # a row's own id may hold slashes
        {side: ids(side.value, prompt + place) for place, side in enumerate(Side)},
        {view: ids(view.value, response + place) for place, view in enumerate(View)},
        {side: 1 for side in Side},
    )


@given(
    st.lists(st.sampled_from(LANGUAGES), max_size=12).map(lambda own: sorted([*own, *LANGUAGES, *LANGUAGES])),
    st.randoms(use_true_random=False),
    st.sets(st.sampled_from(list(MismatchedView)), min_size=1),
    st.integers(1, 10),
)
def test_each_prompt_gets_the_response_of_the_next_of_its_pair(
    languages: list[str], shuffle: random.Random, views: set[MismatchedView], prompt: int
) -> None:
    shuffle.shuffle(languages)
    examples = [example(row, language, prompt, 1 + row % 5) for row, language in enumerate(languages)]
    made = with_mismatched(examples, views, MAX_LENGTH, "train examples")
    assert [own.id for own in made] == [own.id for own in examples]
    for language in LANGUAGES:
        numbers = [number for number, own in enumerate(languages) if own == language]
        for number, following in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
            own, plain = made[number], examples[number]
            assert own.prompts == plain.prompts
            assert own.responses.keys() == set(View) | views
            assert all(own.responses[view] == plain.responses[view] for view in View)
            for view in views:
                whole = examples[following].responses[View(view.value[:2])]
                room = MAX_LENGTH - len(plain.prompts[view.prompt])
                assert own.responses[view] == whole[:room]
                assert len(own.responses[view]) > 0
                assert own.length(view) <= MAX_LENGTH


def test_without_views_nothing_changes() -> None:
    examples = [example(0, "de")]
    assert with_mismatched(examples, frozenset(), MAX_LENGTH, "train examples") == examples
    assert with_mismatched([], {MismatchedView.SS}, MAX_LENGTH, "validation examples") == []


def test_a_pair_with_a_single_example_is_named() -> None:
    examples = [example(0, "de"), example(1, "sw"), example(2, "de")]
    with pytest.raises(DataError, match=r"validation examples: the only example of its language pair is row/1/sw\."):
        with_mismatched(examples, {MismatchedView.TT}, MAX_LENGTH, "validation examples")


def test_sides_of_mismatched_views() -> None:
    for view in MismatchedView:
        assert view.value == f"{view.name}+1"
        assert (view.prompt, view.response) == (View[view.name].prompt, View[view.name].response)
        assert view not in list(View)
