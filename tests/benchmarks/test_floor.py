"""The FLOP floor against numbers worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

from langxfer.engine.encode import Encoded
from tests.benchmarks.floor import Sizes, Tree, step_flops, trees_of

NARROW = Sizes(layers=1, hidden=10, queries=8, keys=4, mlp=20, vocabulary=100)


def test_one_layer_by_hand() -> None:
    """A prompt of 3 tokens, responses of 2 and 3: 3 + 1 + 2 tokens are fed, 1 + 1 + 2 positions are scored."""
    forward = 4 * (80 + 80 + 600) + 6 * (40 + 40)  # q, o and the MLP where it is read; k and v everywhere
    to_inputs = 4 * (80 + 600)  # o and the MLP; below q, k and v there is nothing to train
    to_weights = 4 * (80 + 80) + 6 * (40 + 40)
    seen = 3 + (1 * 3 + 1) + (2 * 3 + 3)  # by the last prompt token, and by the tokens of each branch
    attention = 3 * 2 * 8 * seen
    head = 2 * 4 * 10 * 100
    assert step_flops([Tree(3, (2, 3))], NARROW) == 2 * (forward + to_inputs + to_weights + attention + head)


def test_another_layer_adds_a_full_one() -> None:
    """All but the last layer compute everything for all tokens; all but the first pass gradients below q, k and v."""
    two = Sizes(layers=2, hidden=10, queries=8, keys=4, mlp=20, vocabulary=100)
    below = 6 * (80 + 80 + 600 + 80)  # forward of the added layer, which is the first of the two
    gradients = 6 * (80 + 600) + 6 * (80 + 80 + 80)  # to its inputs, and to its weights
    seen = 6 + (3 + 1) + (6 + 3)
    passed_on = 4 * 80 + 6 * 80  # q, k and v of the last layer, which now is not the first
    added = below + gradients + 3 * 2 * 8 * seen + passed_on
    difference = step_flops([Tree(3, (2, 3))], two) - step_flops([Tree(3, (2, 3))], NARROW)
    assert difference == 2 * added


def test_a_response_of_one_token_is_never_fed() -> None:
    assert Tree(5, (1,)).fed == 0
    assert Tree(5, (1, 1)).scored == 1


def test_an_example_has_a_tree_for_each_prompt() -> None:
    prompts = {"source": [1] * 5, "target": [1] * 7}
    responses = {"SS": [1] * 2, "ST": [1] * 3, "TS": [1] * 4, "TT": [1] * 6}
    assert trees_of([Encoded("x", prompts, responses, {})]) == [Tree(5, [2, 3]), Tree(7, [4, 6])]


def test_sizes_of_a_configuration() -> None:
    config = SimpleNamespace(
        num_hidden_layers=3, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
        vocab_size=50, head_dim=None,
    )  # fmt: skip
    assert Sizes.of(config) == Sizes(3, 32, 32, 16, 64, 50)
