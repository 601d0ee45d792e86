"""Predicted memory against what autograd keeps of real forward passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from langxfer.builtin.selectors import AttentionSelector, FullSelector
from langxfer.components import Selector
from langxfer.data import View
from langxfer.engine import budget, frozen, memory, weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.memory import Decoder, copies, kept_per_token
from langxfer.recipe import Compute
from langxfer.testing import tiny_model
from tests.engine.made_up import made_up

WIDE = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16}
MODELS: dict[str, dict[str, Any]] = {
    "llama": WIDE,
    "qwen3": WIDE,
    "gemma": WIDE,
    "gpt2": {},
}
EXAMPLES = made_up([(60, 50, 40, 70), (90, 30, 20, 45)])


def network_of(folder: Path, name: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    tiny_model(folder, name, layers=4, **MODELS[name])
    with weights.quiet():
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")
    return network.eval().requires_grad_(False)


def in_16_bits() -> AbstractContextManager[Any]:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def kept(
    network: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    examples: Sequence[Encoded] = EXAMPLES,
) -> tuple[int, int]:
    """Bytes that a micro-batch keeps, weights apart, and its tokens."""
    own = {value.untyped_storage().data_ptr() for value in network.parameters()}
    sizes: dict[int, int] = {}
    plain = frozen.Shelf.take

    def note(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            sizes[place] = tensor.untyped_storage().nbytes()
        return tensor

    def taken(self: frozen.Shelf, like: Tensor, *shape: int) -> Tensor:
        return note(plain(self, like, *shape))

    scorer = Scorer(network, "tree", autocast)
    units = scorer.units(examples, sorted(View))
    monkeypatch.setattr(frozen.Shelf, "take", taken)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        scores = scorer.score(units)
    del scores
    return sum(sizes.values()), sum(unit.tokens for unit in units)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("selector", [AttentionSelector(), FullSelector()], ids=lambda selector: selector.name)
@pytest.mark.parametrize("name", MODELS)
def test_what_a_token_keeps(
    tmp_path: Path, name: str, selector: Selector, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(tmp_path, name, dtype)
    trained = weights.trainable(network, selector)
    found, tokens = kept(network, monkeypatch, nullcontext if dtype is torch.float32 else in_16_bits)
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    expected = tokens * kept_per_token(Decoder.of(network.config.to_dict(), shapes), trained, dtype.itemsize)
    expected += copies(sum(value.numel() for value in trained.values()), dtype.itemsize)
    assert found == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("selector", [AttentionSelector(), FullSelector()], ids=lambda selector: selector.name)
def test_a_copy_of_what_is_trained_is_kept_in_16_bits(
    tmp_path: Path, selector: Selector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside few tokens, so that nothing hides it."""
    network = network_of(tmp_path, "llama", torch.bfloat16)
    learned = sum(value.numel() for value in weights.trainable(network, selector).values())
    found, tokens = kept(network, monkeypatch, in_16_bits, made_up([(2, 2, 2, 2)]))
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    decoder = Decoder.of(network.config.to_dict(), shapes)
    names = [name for name, value in network.named_parameters() if value.requires_grad]
    own = found - tokens * kept_per_token(decoder, names, 2)
    assert own == pytest.approx(copies(learned, 2), rel=0.25)
    assert copies(learned, 4) == 0


def test_frozen_layers_below_keep_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(tmp_path, "llama")
    names = [name for name, _ in network.named_parameters() if ".3.self_attn" in name]
    for name, value in network.named_parameters():
        value.requires_grad_(name in names)
    found, tokens = kept(network, monkeypatch)
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    decoder = Decoder.of(network.config.to_dict(), shapes)
    assert found == pytest.approx(tokens * kept_per_token(decoder, names, 4), rel=0.15)
    assert kept_per_token(decoder, names, 4) < 0.4 * kept_per_token(decoder, [*names, names[0].replace("3", "0")], 4)


def test_parts_add_up() -> None:
    shapes = {"model.layers.0.self_attn.q_proj.weight": (10, 10), "lm_head.weight": (30, 10), "model.x.gate": (1, 1)}
    config = {"hidden_size": 10, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 30}
    held = 2 * memory.INTERPRETER
    found = memory.predict(config, shapes, list(shapes)[:1], 7, interpreter=held)
    assert found.interpreter == held
    assert memory.predict(config, shapes, list(shapes)[:1], 7, interpreter=1000).interpreter == memory.INTERPRETER
    assert found.weights == 4 * 401
    assert found.gradients == 4 * 100
    assert found.moments == 8 * 100
    assert found.total == sum(vars(found).values())
    more = memory.predict(config, shapes, list(shapes)[:1], 14, interpreter=held)
    assert more.activations == pytest.approx(2 * found.activations, abs=1)
    again = memory.predict(config, shapes, list(shapes)[:1], 7, interpreter=held, on_cpu=False)
    assert again.interpreter == 0
    half = memory.predict(config, shapes, list(shapes)[:1], 7, size=2, on_cpu=False)
    assert half.weights == 4 * 100 + 2 * 301
    assert (half.copies, again.copies) == (2 * 100, 0)


def test_recomputing_keeps_little(tmp_path: Path) -> None:
    network = network_of(tmp_path, "llama")
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    decoder = Decoder.of(network.config.to_dict(), shapes)
    plain, again = (kept_per_token(decoder, shapes, 4, recompute) for recompute in (False, True))
    assert again < plain / 2


def test_a_gpu_has_room_for_copies_in_16_bits_too(tmp_path: Path) -> None:
    """Also where all weights are trained, so that all are kept in float32."""
    fits: dict[torch.dtype, int] = {}
    for dtype in (torch.float32, torch.bfloat16):
        network = network_of(tmp_path / str(dtype), "llama", dtype)
        learned = sum(value.numel() for value in weights.trainable(network, FullSelector()).values())
        shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
        each = kept_per_token(Decoder.of(network.config.to_dict(), shapes), shapes, dtype.itemsize)
        reserved = 12 * learned + copies(learned, dtype.itemsize)
        fits[dtype] = budget.fitting(network, 60 << 20, False)
        assert fits[dtype] == int(budget.SHARE * ((60 << 20) - reserved) / each)
    assert fits[torch.float32] < fits[torch.bfloat16]


def test_budget(tmp_path: Path) -> None:
    network = network_of(tmp_path, "llama")
    assert budget.tokens_per_micro_batch(Compute(tokens_per_micro_batch=77), network) == 77
    assert budget.tokens_per_micro_batch(Compute(), network) == budget.CPU_TOKENS
    weights.trainable(network, AttentionSelector())
    small, large = (budget.fitting(network, free, False) for free in (60 << 20, 120 << 20))
    assert budget.FEWEST < small < large < budget.MOST
    assert budget.fitting(network, 60 << 20, True) > small
    assert budget.fitting(network, 0, False) == budget.FEWEST
