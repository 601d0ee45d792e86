"""Tokens and attention pairs against masks that are drawn and counted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from langxfer.data import Side, View
from langxfer.engine import tokens
from langxfer.engine.encode import Encoded
from langxfer.engine.tokens import Layout, Tokens

LENGTH = st.integers(1, 12)
RESPONSE = st.integers(0, 12)  # a response that was cut away altogether scores nothing


def example(prompts: tuple[int, int], responses: tuple[int, int, int, int]) -> Encoded:
    ids = {view: [7] * length for view, length in zip(View, responses, strict=True)}
    return Encoded("a", {side: [5] * n for side, n in zip(Side, prompts, strict=True)}, ids, dict.fromkeys(Side, 1))


EXAMPLES = st.builds(example, st.tuples(LENGTH, LENGTH), st.tuples(*[RESPONSE] * 4))
VIEWS = st.sets(st.sampled_from(View), min_size=1)


def drawn(rows: list[tuple[int, tuple[int, ...]]], width: int | None) -> Tokens:
    """The same from the masks themselves: who is what, and who looks at whom."""
    counts = dict.fromkeys(("prompt", "response", "padding", "scored"), 0)
    pairs = dict.fromkeys(("prompt", "response", "padding"), 0)
    for prompt, responses in rows:
        counts["scored"] += sum(responses)
        branch = [0] * prompt + [i for i, n in enumerate(responses, 1) for _ in range(n - 1)]  # the last is not fed
        branch += [-1] * ((width or 0) - len(branch))  # padding is plain causal: it looks at all before it
        for query, own in enumerate(branch):
            part = "padding" if own < 0 else "response" if own else "prompt"
            counts[part] += 1
            looks = [own < 0 or other in (0, own) for other in branch[: query + 1]]
            pairs[part] += sum(looks)
    return Tokens(**counts, **{f"{part}_pairs": n for part, n in pairs.items()})


def rows_by_hand(own: Encoded, views: set[View], layout: Layout) -> list[tuple[int, tuple[int, ...]]]:
    if layout != "tree":
        return [(len(own.prompts[view.prompt]), (len(own.responses[view]),)) for view in views]
    sides = {view.prompt for view in views}
    return [
        (len(own.prompts[side]), tuple(len(own.responses[view]) for view in views if view.prompt == side))
        for side in sides
    ]


@given(st.lists(EXAMPLES, min_size=1, max_size=4), VIEWS, st.sampled_from(["tree", "flat", "padded"]))
def test_packed_rows_are_counted_as_drawn(examples, views, layout):
    rows = [row for own in examples for row in rows_by_hand(own, views, layout)]
    assert tokens.count(examples, views, layout) == drawn(rows, None)


@given(st.lists(EXAMPLES, min_size=1, max_size=6), VIEWS, st.data())
def test_padded_rows_are_as_long_as_the_longest_of_their_micro_batch(examples, views, data):
    order = data.draw(st.permutations(range(len(examples))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(examples)), max_size=2)) | {0, len(examples)})
    groups = [order[start:end] for start, end in pairwise(cuts)]
    expected = Tokens()
    micro_batches = [
        [row for number in group for row in rows_by_hand(examples[number], views, "padded")] for group in groups
    ]
    for rows in micro_batches:
        expected += drawn(rows, max(prompt + sum(max(n - 1, 0) for n in own) for prompt, own in rows))
    assert tokens.count(examples, views, "padded", micro_batches) == expected


@given(EXAMPLES, VIEWS)
def test_the_tree_shares_prompts_and_nothing_else(own, views):
    tree, flat = (tokens.count([own], views, layout) for layout in ("tree", "flat"))
    assert (tree.response, tree.scored, tree.response_pairs) == (flat.response, flat.scored, flat.response_pairs)
    shared = sum(len(own.prompts[side]) for side in {view.prompt for view in views})
    assert tree.prompt == shared and flat.prompt == sum(len(own.prompts[view.prompt]) for view in views)


def test_sums_and_multiples():
    one, two = Tokens(1, 2, 3, 4, 5, 6, 7), Tokens(10, 20, 30, 40, 50, 60, 70)
    assert one + two == Tokens(11, 22, 33, 44, 55, 66, 77) and one * 10 == two
    assert one.computed == 6


def test_lengths_are_read_without_ids(tmp_path):
    from langxfer.engine import encode

    own = [example((3, 5), (1, 2, 0, 4)), example((9, 1), (4, 4, 2, 2))]
    encode.save(tmp_path / "a.safetensors", own)
    full, lengths = encode.load(tmp_path / "a.safetensors"), encode.load_lengths(tmp_path / "a.safetensors")
    for layout in ("tree", "flat", "padded"):
        assert tokens.count(full, View, layout) == tokens.count(lengths, View, layout)
    assert [(e.id, e.bytes) for e in full] == [(e.id, e.bytes) for e in lengths]
    assert np.array_equal([len(e.responses[View.TT]) for e in lengths], [4, 2])
