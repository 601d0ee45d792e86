"""Log-probabilities and gradients of every layout against the model's own logits, one response at a time."""

from __future__ import annotations

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
from langxfer.engine.attention import DENSE, ROWS
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import SELF_CHECK_TOLERANCE, Scorer, not_plain
from langxfer.engine.head import Unsupported
from langxfer.engine.layout import Layout
from langxfer.recipe import Compute, Model
from langxfer.testing import tiny_model
from tests.engine.made_up import VOCABULARY, made_up

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


# Prompts and responses of one token, equal lengths, and very different ones.
EXAMPLES = made_up([(3, 5, 4, 6), (1, 1, 1, 2), (9, 2, 12, 1), (4, 4, 5, 5)])
LONGEST = 9 + 12


def oracle(network: nn.Module, example: Encoded, view: View) -> Tensor:
    prompt, response = example.prompts[view.prompt], example.responses[view]
    logits = network(input_ids=torch.tensor([prompt + response]), use_cache=False).logits[0]
    scores = torch.log_softmax(logits[len(prompt) - 1 : -1], -1)
    return scores[torch.arange(len(response)), torch.tensor(response)]


def by_place(found: list[tuple[int, View, Tensor]]) -> dict[tuple[int, View], Tensor]:
    return {(number, view): scores for number, view, scores in found}


def every_score(scorer: Scorer, examples: Sequence[Encoded] = EXAMPLES) -> dict[tuple[int, View], Tensor]:
    return by_place(scorer.score(scorer.units(examples, VIEWS)))


def one_by_one(scorer: Scorer) -> dict[tuple[int, View], Tensor]:
    return {
        (number, view): scorer.score(scorer.units([example], [view]))[0][2]
        for number, example in enumerate(EXAMPLES)
        for view in VIEWS
    }


def in_micro_batches(scorer: Scorer, budget: int, separate: bool) -> dict[tuple[int, View], Tensor]:
    groups = scorer.micro_batches(EXAMPLES, VIEWS, budget, separate)
    return {place: value for units in groups for place, value in by_place(scorer.score(units)).items()}


def dense(network: nn.Module) -> dict[tuple[int, View], Tensor]:
    scorer = Scorer(network, "tree")
    if network.config._attn_implementation == ROWS:
        network.set_attn_implementation(DENSE)
    return every_score(scorer)


LAYOUTS: dict[str, Callable[[nn.Module], dict[tuple[int, View], Tensor]]] = {
    "tree": lambda network: every_score(Scorer(network, "tree")),
    "flat": lambda network: every_score(Scorer(network, "flat")),
    "padded": lambda network: every_score(Scorer(network, "padded")),
    "tree, masked": dense,
    "one by one": lambda network: one_by_one(Scorer(network, "tree")),
    "tree, a direction at a time": lambda network: in_micro_batches(Scorer(network, "tree"), 1, True),
    "flat, an example at a time": lambda network: in_micro_batches(Scorer(network, "flat"), 1, False),
    "tree, packed": lambda network: in_micro_batches(Scorer(network, "tree"), 40, True),
    "padded, a few at a time": lambda network: in_micro_batches(Scorer(network, "padded"), 60, False),
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


EXACT = {torch.float64: (1e-9, 1e-9), torch.float32: (1e-4, 1e-3)}  # nats; relative norm of a gradient
# In a float64 model too, transformers' norms by root mean square and its eager softmax work in float32.
ROUNDED_GRADIENT, ROUNDED_NATS = 1e-6, 1e-5


@pytest.mark.parametrize("dtype", EXACT, ids=["float64", "float32"])
@pytest.mark.parametrize("trained", ["all", "attention"])
@pytest.mark.parametrize("name", MODELS)
def test_log_probs_and_all_gradients_are_the_models_own(
    network_of: Callable[..., nn.Module], name: str, trained: str, dtype: torch.dtype
) -> None:
    """Against plain transformers, one response at a time; with a frozen head and MLP the light paths are taken."""
    nats, share = EXACT[dtype]
    network = network_of(name, dtype)
    share = share if name == "gpt2" else max(share, ROUNDED_GRADIENT)
    nats = max(nats, ROUNDED_NATS) if MODELS[name][1] == "eager" else nats
    if trained == "attention":
        names = AttentionSelector().select({name: tuple(value.shape) for name, value in network.named_parameters()})
        for parameter, value in network.named_parameters():
            value.requires_grad_(parameter in names)
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
            assert scores.dtype == dtype
            torch.testing.assert_close(scores, expected[place], rtol=0, atol=nats, msg=f"{layout} {place}")
        weighed(found).backward()
        made = gradients(network)
        assert made.keys() == own.keys()
        for parameter, gradient in made.items():
            difference = (gradient - own[parameter]).norm() / own[parameter].norm()
            assert difference < share, (layout, parameter, difference)
        if trained == "attention":
            assert network.get_output_embeddings().weight.grad is None


@pytest.mark.parametrize("layout", ["tree", "flat", "padded"])
def test_branches_do_not_see_each_other(network_of: Callable[..., nn.Module], layout: Layout) -> None:
    scorer = Scorer(network_of("llama"), layout)
    example = EXAMPLES[0]
    with torch.no_grad():
        before = every_score(scorer, [example])
        for view in VIEWS:
            for place in range(len(example.responses[view])):
                ids = list(example.responses[view])
                ids[place] = (ids[place] + 1) % VOCABULARY
                changed = replace(example, responses={**example.responses, view: ids})
                after = every_score(scorer, [changed])
                for other in VIEWS:
                    same = (after[0, other] - before[0, other]).abs() < 1e-6
                    assert bool(same.all()) == (other is not view)
                # What stands before the changed token does not see it either; everything from it on does.
                same = (after[0, view] - before[0, view]).abs() < 1e-6
                assert same.tolist() == [i < place for i in range(len(same))]
        for side in Side:
            ids = list(example.prompts[side])
            ids[0] = (ids[0] + 1) % VOCABULARY
            after = every_score(scorer, [replace(example, prompts={**example.prompts, side: ids})])
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
        found = every_score(Scorer(network_of("gpt2"), "tree"), [same, example])
    for view in VIEWS:
        torch.testing.assert_close(found[0, view], found[0, View.SS])
        torch.testing.assert_close(found[0, view], found[1, View.SS])


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_first_response_token_is_predicted_by_the_last_prompt_token(
    network_of: Callable[..., nn.Module], name: str
) -> None:
    network = network_of(name)
    with torch.no_grad():
        found = every_score(Scorer(network, "tree"))
        for number, example in enumerate(EXAMPLES):
            for view in VIEWS:
                alone = network(torch.tensor([example.prompts[view.prompt]])).logits[0, -1].log_softmax(-1)
                expected = alone[example.responses[view][0]].item()
                assert found[number, view][0].item() == pytest.approx(expected, abs=2e-6)


# ---------------------------------------------------------------- models that cannot share prompts


@pytest.mark.parametrize(
    ("architecture", "config", "reason"),
    [
        ("mistral", {"sliding_window": 4}, "see 4 tokens, and prompts with their responses may have 21 tokens"),
        ("gemma2", {"sliding_window": 4, "query_pre_attn_scalar": 8}, "see 4 tokens"),
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
    scorer = Scorer(network, "tree", notify=notices.append, longest=LONGEST)
    assert scorer.layout == "padded"
    assert len(notices) == 1
    assert reason in notices[0]
    assert "padded instead of tree" in notices[0]
    with torch.no_grad():
        for (number, view), scores in every_score(scorer).items():
            expected = oracle(network, EXAMPLES[number], view)
            torch.testing.assert_close(scores.double(), expected, rtol=2e-6, atol=2e-6)
    Scorer(network, "padded", notify=notices.append)
    assert len(notices) == 1


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
@pytest.mark.parametrize("layout", ["tree", "flat"])
def test_a_window_that_holds_every_row_is_none(tmp_path: Path, name: str, layout: Layout) -> None:
    """Mistral and Gemma 2 at the lengths of instruction data: nothing slides, so rows may share prompts."""
    config = {"sliding_window": LONGEST, **({"query_pre_attn_scalar": 8} if name == "gemma2" else {})}
    folder = tiny_model(tmp_path, name, **config)
    network = weights.load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))
    scorer = Scorer(network, layout, longest=LONGEST)
    assert scorer.layout == layout
    with torch.no_grad():
        for (number, view), scores in every_score(scorer).items():
            torch.testing.assert_close(scores, oracle(network, EXAMPLES[number], view), rtol=1e-5, atol=1e-4)
    assert Scorer(network, layout, longest=LONGEST + 1).layout == "padded"
    assert Scorer(network, layout).layout == "padded"


def test_which_configurations_share_prompts() -> None:
    of = AutoConfig.for_model
    for name in ("llama", "qwen2", "gpt2", "gemma", "qwen3", "phi3"):
        assert not_plain(of(name)) is None, name
    assert not_plain(of("mistral", sliding_window=None)) is None
    assert not_plain(of("falcon", alibi=True))
    assert not_plain(of("falcon", alibi=False)) is None
    assert not_plain(of("mpt"))
    assert not_plain(of("phi3", sliding_window=256))
    assert not_plain(of("phi3", sliding_window=256), 256) is None
    assert not_plain(of("phi3", sliding_window=256), 257)


def test_self_check(network_of: Callable[..., nn.Module]) -> None:
    for name in MODELS:
        for layout in ("tree", "flat", "padded"):
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
    scorers = [Scorer(network, "tree", autocast) for network in networks]
    reference, policy = (scorer.score(scorer.units(EXAMPLES, VIEWS)) for scorer in scorers)
    for (_, _, fixed), (_, _, own) in zip(reference, policy, strict=True):
        assert own.requires_grad
        assert not fixed.requires_grad
        assert torch.equal(fixed, own)


def test_self_check_where_products_are_rounded(network_of: Callable[..., nn.Module]) -> None:
    """Trained weights stay in float32, and yet their logits have the digits of bfloat16."""

    def scorer(cap: float | None) -> Scorer:
        network = network_of("llama", torch.float32)
        with torch.no_grad():
            network.get_output_embeddings().weight *= 8  # logits of a size that language models have
        network.config.final_logit_softcapping = cap
        return Scorer(network, "tree", lambda: torch.autocast("cpu", torch.bfloat16))

    own = scorer(None)
    own.self_check(EXAMPLES[2])
    [found] = [scores for _, view, scores in own.score(own.units([EXAMPLES[2]], [View.SS]))]
    assert (own._own(EXAMPLES[2], View.SS)[0] - found).abs().max() > SELF_CHECK_TOLERANCE
    with pytest.raises(Unsupported, match="differ from its own logits by"):
        scorer(3.0).self_check(EXAMPLES[2])
