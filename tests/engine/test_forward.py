"""Log-probabilities and gradients of every layout against the model's own logits, one response at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from langxfer.builtin.selectors import AttentionSelector
from langxfer.data import Side, View
from langxfer.engine import weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer, Unsupported, no_tree
from langxfer.engine.layout import Branch, Layout, Row, collate, padded_tokens, rows_of
from langxfer.recipe import Compute, Model
from langxfer.testing import tiny_model

VOCABULARY = 261
VIEWS = sorted(View)
# Gemma 2 without its sliding windows: caps on attention and on logits, norms around both, tied embeddings.
GEMMA = {"layer_types": ["full_attention"] * 2, "final_logit_softcapping": 4.0, "query_pre_attn_scalar": 8}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "sdpa", {}),
    "llama eager": ("llama", "eager", {}),
    "gpt2": ("gpt2", "sdpa", {}),
    "qwen2": ("qwen2", "sdpa", {"tie_word_embeddings": True}),
    "gemma2": ("gemma2", "eager", GEMMA),
    "qwen3": ("qwen3", "sdpa", {}),
    "cohere": ("cohere", "sdpa", {"logit_scale": 0.7}),
    "granite": ("granite", "sdpa", {"logits_scaling": 3.0}),
}


@pytest.fixture(scope="module")
def network_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., nn.Module]:
    folders: dict[str, Path] = {}

    def load(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
        architecture, attention, config = MODELS[name]
        if name not in folders:
            folders[name] = tiny_model(tmp_path_factory.mktemp("model"), architecture, **config)
        with weights.quiet():
            network = AutoModelForCausalLM.from_pretrained(folders[name], dtype=dtype, attn_implementation=attention)
        return network.eval()

    return load


def made_up(sizes: Sequence[tuple[int, int, int, int]], seed: int = 0) -> list[Encoded]:
    """Random ids; sizes are (source prompt, target prompt, source response, target response)."""
    numbers = random.Random(seed)

    def ids(count: int) -> list[int]:
        return [numbers.randrange(5, VOCABULARY) for _ in range(count)]

    examples: list[Encoded] = []
    for place, (source, target, first, second) in enumerate(sizes):
        prompts = {Side.SOURCE: ids(source), Side.TARGET: ids(target)}
        answers = {Side.SOURCE: ids(first), Side.TARGET: ids(second)}
        responses = {view: answers[view.response] for view in View}
        examples.append(Encoded(str(place), prompts, responses, {side: 1 for side in Side}))
    return examples


# Prompts and responses of one token, equal lengths, and very different ones.
EXAMPLES = made_up([(3, 5, 4, 6), (1, 1, 1, 2), (9, 2, 12, 1), (4, 4, 5, 5)])


def oracle(network: nn.Module, example: Encoded, view: View) -> Tensor:
    prompt, response = example.prompts[view.prompt], example.responses[view]
    logits = network(input_ids=torch.tensor([prompt + response]), use_cache=False).logits[0]
    scores = torch.log_softmax(logits[len(prompt) - 1 : -1], -1)
    return scores[torch.arange(len(response)), torch.tensor(response)]


def by_place(found: list[tuple[int, View, Tensor]]) -> dict[tuple[int, View], Tensor]:
    return {(number, view): scores for number, view, scores in found}


def one_by_one(scorer: Scorer, examples: Sequence[Encoded]) -> dict[tuple[int, View], Tensor]:
    return {
        (number, view): scorer.score([example], [view])[0][2]
        for number, example in enumerate(examples)
        for view in VIEWS
    }


LAYOUTS: dict[str, Callable[[nn.Module], dict[tuple[int, View], Tensor]]] = {
    "tree": lambda network: by_place(Scorer(network, "tree").score(EXAMPLES, VIEWS)),
    "padded": lambda network: by_place(Scorer(network, "padded").score(EXAMPLES, VIEWS)),
    "one by one": lambda network: one_by_one(Scorer(network, "tree"), EXAMPLES),
}


def weighed(scores: dict[tuple[int, View], Tensor]) -> Tensor:
    """A number that depends on every token's log-probability in a way of its own."""
    generator = torch.Generator().manual_seed(1)
    parts = [
        (scores[number, view].double() * torch.randn(len(scores[number, view]), generator=generator).double()).sum()
        for number in range(len(EXAMPLES))
        for view in VIEWS
    ]
    return torch.stack(parts).sum()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("frozen_head", [False, True], ids=["trained head", "frozen head"])
@pytest.mark.parametrize("name", MODELS)
def test_log_probs_and_all_gradients_are_the_models_own(
    network_of: Callable[..., nn.Module], name: str, frozen_head: bool
) -> None:
    network = network_of(name)
    if frozen_head:
        network.get_output_embeddings().weight.requires_grad_(False)
    expected = {(i, view): oracle(network, example, view) for i, example in enumerate(EXAMPLES) for view in VIEWS}
    weighed(expected).backward()
    own = gradients(network)
    assert Scorer(network, "tree").layout == "tree"
    assert len(own) == sum(value.requires_grad for value in network.parameters())
    for layout, score in LAYOUTS.items():
        network.zero_grad(set_to_none=True)
        found = score(network)
        assert found.keys() == expected.keys()
        for place, scores in found.items():
            assert scores.dtype == torch.float32
            torch.testing.assert_close(scores.double(), expected[place], rtol=2e-6, atol=2e-6, msg=f"{layout} {place}")
        weighed(found).backward()
        made = gradients(network)
        assert made.keys() == own.keys()
        for parameter, gradient in made.items():
            difference = (gradient - own[parameter]).norm() / own[parameter].norm()
            assert difference < 2e-5, (layout, parameter, difference)
        if frozen_head:
            assert network.get_output_embeddings().weight.grad is None


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_branches_do_not_see_each_other(network_of: Callable[..., nn.Module], layout: Layout) -> None:
    scorer = Scorer(network_of("llama"), layout)
    example = EXAMPLES[0]
    with torch.no_grad():
        before = by_place(scorer.score([example], VIEWS))
        for view in VIEWS:
            for place in range(len(example.responses[view])):
                ids = list(example.responses[view])
                ids[place] = (ids[place] + 1) % VOCABULARY
                changed = replace(example, responses={**example.responses, view: ids})
                after = by_place(scorer.score([changed], VIEWS))
                for other in VIEWS:
                    same = (after[0, other] - before[0, other]).abs() < 1e-6
                    assert bool(same.all()) == (other is not view)
                # What stands before the changed token does not see it either; everything from it on does.
                same = (after[0, view] - before[0, view]).abs() < 1e-6
                assert same.tolist() == [i < place for i in range(len(same))]
        for side in Side:
            ids = list(example.prompts[side])
            ids[0] = (ids[0] + 1) % VOCABULARY
            after = by_place(scorer.score([replace(example, prompts={**example.prompts, side: ids})], VIEWS))
            for view in VIEWS:
                assert torch.equal(after[0, view], before[0, view]) == (view.prompt is not side)


def test_equal_responses_and_equal_prompts_have_equal_scores(network_of: Callable[..., nn.Module]) -> None:
    """A second branch sits further right than the first, but at the same positions."""
    (example,) = made_up([(6, 6, 5, 5)])
    same = replace(
        example,
        prompts=dict.fromkeys(Side, example.prompts[Side.SOURCE]),
        responses=dict.fromkeys(View, example.responses[View.SS]),
    )
    with torch.no_grad():
        found = by_place(Scorer(network_of("gpt2"), "tree").score([same, example], VIEWS))
    for view in VIEWS:
        torch.testing.assert_close(found[0, view], found[0, View.SS])
        torch.testing.assert_close(found[0, view], found[1, View.SS])


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_first_response_token_is_predicted_by_the_last_prompt_token(
    network_of: Callable[..., nn.Module], name: str
) -> None:
    network = network_of(name)
    with torch.no_grad():
        found = by_place(Scorer(network, "tree").score(EXAMPLES, VIEWS))
        for number, example in enumerate(EXAMPLES):
            for view in VIEWS:
                alone = network(torch.tensor([example.prompts[view.prompt]])).logits[0, -1].log_softmax(-1)
                expected = alone[example.responses[view][0]].item()
                assert found[number, view][0].item() == pytest.approx(expected, abs=2e-6)


def test_collate_by_hand() -> None:
    row = Row([7, 8], (Branch(0, View.SS, [10, 11, 12]), Branch(0, View.ST, [20])))
    inputs = collate([row, Row([9], (Branch(1, View.TS, [30, 31]), Branch(1, View.TT, [])))])
    assert inputs.ids.tolist() == [[7, 8, 10, 11, 12, 20], [9, 30, 31, 0, 0, 0]]
    assert inputs.positions is not None
    assert inputs.mask is not None
    assert inputs.positions.tolist() == [[0, 1, 2, 3, 4, 2], [0, 1, 2, 0, 0, 0]]
    assert inputs.scored_from.tolist() == [1, 2, 3, 1, 6, 7]
    assert inputs.targets.tolist() == [10, 11, 12, 20, 30, 31]
    assert inputs.mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]
    assert inputs.mask[1, 0, :3, :3].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert not inputs.mask[1, 0, :3, 3:].any()
    assert inputs.mask.any(-1).all()  # attention to nothing would be NaN
    plain = collate([Row([7, 8], (Branch(0, View.SS, [10]),))])
    assert plain.mask is None
    assert plain.positions is None


def test_tree_rows_share_prompts() -> None:
    tree, padded = rows_of(EXAMPLES[:1], VIEWS, "tree"), rows_of(EXAMPLES[:1], VIEWS, "padded")
    assert [[branch.view for branch in row.branches] for row in tree] == [[View.SS, View.ST], [View.TS, View.TT]]
    assert [len(row) for row in tree] == [3 + 4 + 6, 5 + 4 + 6]
    assert [len(row) for row in padded] == [3 + 4, 3 + 6, 5 + 4, 5 + 6]
    assert padded_tokens(tree) == 2 * 15
    assert rows_of(EXAMPLES, [View.TT], "tree") == rows_of(EXAMPLES, [View.TT], "padded")


# ---------------------------------------------------------------- models that cannot share prompts


@pytest.mark.parametrize(
    ("architecture", "config", "reason"),
    [
        ("mistral", {"sliding_window": 4}, "not plain full attention"),
        ("gemma2", {"sliding_window": 4, "query_pre_attn_scalar": 8}, "not plain full attention"),
        ("bloom", {}, "ALiBi"),
    ],
)
def test_other_attention_falls_back_with_a_notice(
    tmp_path: Path, architecture: str, config: dict[str, Any], reason: str
) -> None:
    notices: list[str] = []
    folder = tiny_model(tmp_path, architecture, **config)
    with weights.quiet():
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    scorer = Scorer(network, "tree", notify=notices.append)
    assert scorer.layout == "padded"
    assert len(notices) == 1
    assert reason in notices[0]
    assert "padded instead of tree" in notices[0]
    with torch.no_grad():
        for (number, view), scores in by_place(scorer.score(EXAMPLES, VIEWS)).items():
            expected = oracle(network, EXAMPLES[number], view)
            torch.testing.assert_close(scores.double(), expected, rtol=2e-6, atol=2e-6)
    Scorer(network, "padded", notify=notices.append)
    assert len(notices) == 1


def test_which_configurations_share_prompts() -> None:
    of = AutoConfig.for_model
    for name in ("llama", "qwen2", "gpt2", "gemma", "qwen3", "phi3"):
        assert no_tree(of(name)) is None, name
    assert no_tree(of("mistral", sliding_window=None)) is None
    assert no_tree(of("falcon", alibi=True))
    assert no_tree(of("falcon", alibi=False)) is None
    assert no_tree(of("mpt"))
    assert no_tree(of("phi3", sliding_window=256))


def test_self_check(network_of: Callable[..., nn.Module]) -> None:
    for name in MODELS:
        for layout in ("tree", "padded"):
            Scorer(network_of(name, torch.float32), layout).self_check(EXAMPLES[2])
    network = network_of("llama", torch.float32)
    network.config.final_logit_softcapping = 3.0  # Llama ignores it
    with pytest.raises(Unsupported, match="differ from its own logits by"):
        Scorer(network, "tree").self_check(EXAMPLES[0])
    network = network_of("llama", torch.float32)
    with torch.no_grad():
        network.get_output_embeddings().weight[0, 0] = torch.nan
    with pytest.raises(Unsupported):
        Scorer(network, "tree").self_check(EXAMPLES[0])


# ---------------------------------------------------------------- batches


def test_totals_and_counts_are_in_the_order_of_examples(network_of: Callable[..., nn.Module]) -> None:
    scorer = Scorer(network_of("llama"), "tree")
    with torch.no_grad():
        found, every = scorer.log_probs(EXAMPLES, VIEWS), by_place(scorer.score(EXAMPLES, VIEWS))
    for view in VIEWS:
        sums = torch.stack([every[number, view].sum() for number in range(len(EXAMPLES))])
        assert torch.equal(found.total[view], sums)
        assert found.tokens[view].tolist() == [len(example.responses[view]) for example in EXAMPLES]
        assert found.total[view].dtype == found.tokens[view].dtype == torch.float32


@pytest.mark.parametrize("layout", ["tree", "padded"])
@pytest.mark.parametrize("budget", [1, 60, 150, 10**6])
def test_micro_batches_hold_the_budget(network_of: Callable[..., nn.Module], layout: Layout, budget: int) -> None:
    sizes = random.Random(4)
    examples = made_up([tuple(sizes.randrange(1, 15) for _ in range(4)) for _ in range(20)])  # type: ignore[misc]
    scorer = Scorer(network_of("llama"), layout)
    groups = list(scorer.micro_batches(examples, VIEWS, budget))
    assert sorted(number for group in groups for number in group) == list(range(20))
    for group in groups:
        tokens = padded_tokens(rows_of([examples[i] for i in group], VIEWS, layout))
        assert tokens <= budget or len(group) == 1
    assert len(groups) == {1: 20, 10**6: 1}.get(budget, len(groups))
    assert len(groups) < 20 or budget == 1 or layout == "padded"
    assert list(scorer.micro_batches([], VIEWS, budget)) == []


# ---------------------------------------------------------------- precision


def bfloat16() -> Any:
    return torch.autocast("cpu", dtype=torch.bfloat16)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_policy_and_reference_are_equal_before_the_first_step(folder: Path, dtype: str) -> None:
    """Trained weights become float32, and yet nothing changes: the same path rounds them in the same places."""
    model, compute = Model(source=str(folder), dtype=dtype), Compute()
    autocast = bfloat16 if dtype == "bfloat16" else nullcontext
    networks = [weights.load_model(model, folder, [], compute, torch.device("cpu")) for _ in range(2)]
    chosen = weights.trainable(networks[1], AttentionSelector())
    assert all(value.dtype == torch.float32 for value in chosen.values())
    reference, policy = (Scorer(network, "tree", autocast).score(EXAMPLES, VIEWS) for network in networks)
    for (_, _, fixed), (_, _, own) in zip(reference, policy, strict=True):
        assert own.requires_grad
        assert not fixed.requires_grad
        assert torch.equal(fixed, own)
