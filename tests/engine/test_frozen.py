"""The frozen path of gated MLPs: the numbers of the module itself, and less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModelForCausalLM

from langxfer.engine import frozen
from langxfer.engine.frozen import Shelf, frozen_weights, lighten

MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "gemma": {"head_dim": 8},
    "qwen3": {"head_dim": 8},
    "llama with gelu": {"hidden_act": "gelu"},
    "llama with relu": {"hidden_act": "relu"},
    "llama with biases": {"mlp_bias": True},
}
TAKEN = {"llama", "gemma", "qwen3", "llama with gelu"}


def network_of(name: str) -> nn.Module:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_key_value_heads": 2}
    given = {**sizes, "num_hidden_layers": 2, "vocab_size": 40, **MODELS[name]}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(name.split()[0], **given)).double().eval()


def mlps(network: nn.Module) -> list[Any]:
    return [layer.mlp for layer in network.model.layers]


@pytest.mark.parametrize("name", MODELS)
def test_only_plain_gated_mlps_take_the_path(name: str) -> None:
    network = network_of(name).requires_grad_(False)
    shelf = lighten(network)
    assert [("forward" in vars(mlp)) for mlp in mlps(network)] == [name in TAKEN] * 2
    taken = [vars(mlp).get("forward") for mlp in mlps(network)]
    assert (lighten(network) is shelf) == (name in TAKEN)  # once is enough
    assert [vars(mlp).get("forward") for mlp in mlps(network)] == taken


def test_rounding_keeps_no_module_from_the_path() -> None:
    """In float32 and with outputs of many sizes: products may be summed in another order."""
    given = {"hidden_size": 64, "intermediate_size": 512, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = AutoConfig.for_model("llama", **given, num_hidden_layers=20, vocab_size=40)
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for number, mlp in enumerate(mlps(network)):
            mlp.down_proj.weight.mul_(2.0 ** (number - 5))
    lighten(network)
    assert all("forward" in vars(mlp) for mlp in mlps(network))


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_values_and_gradients(name: str) -> None:
    network = network_of(name).requires_grad_(False)
    (mlp, _), hidden = mlps(network), torch.randn(1, 7, 16, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(1, 7, 16, dtype=torch.float64)
    expected = type(mlp).forward(mlp, hidden)
    (own,) = torch.autograd.grad((expected * upstream).sum(), hidden)
    lighten(network)
    for _ in range(2):  # the second time with buffers that were used before
        found = mlp(hidden)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        (gradient,) = torch.autograd.grad((found * upstream).sum(), hidden)
        torch.testing.assert_close(gradient, own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("block", [256, 3, 1])
@pytest.mark.parametrize(("budget", "most"), [(1, 0), (4, 1), (6, 5), (7, 7), (9, 7)])
def test_a_budget_changes_no_number_but_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, budget: int, most: int, block: int
) -> None:
    """Of 7 tokens as many are kept as the budget leaves; the others are computed once more, in blocks."""
    monkeypatch.setattr(frozen, "BLOCK", block)
    network = network_of("llama").requires_grad_(False)
    (mlp, _), hidden = mlps(network), torch.randn(1, 7, 16, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(1, 7, 16, dtype=torch.float64)
    expected = type(mlp).forward(mlp, hidden)
    (own,) = torch.autograd.grad((expected * upstream).sum(), hidden)
    lighten(network).budget = budget
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        if tensor.shape[-1] == 24 and tensor.ndim == 3:
            kept.append(tensor.shape[1])
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        found = mlp(hidden)
    assert kept == [most]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.autograd.grad((found * upstream).sum(), hidden)[0], own, rtol=1e-12, atol=1e-12)


def test_a_trained_or_replaced_part_takes_the_modules_own_path() -> None:
    network = network_of("llama").requires_grad_(False)
    lighten(network)
    mlp = mlps(network)[0]
    assert frozen_weights(mlp) is not None
    mlp.up_proj.weight.requires_grad_(True)
    assert frozen_weights(mlp) is None
    mlp(torch.randn(1, 3, 16, dtype=torch.float64)).sum().backward()
    assert mlp.up_proj.weight.grad is not None
    mlp.up_proj.weight.requires_grad_(False)
    mlp.down_proj = nn.Sequential(mlp.down_proj)  # an adapter, say
    assert frozen_weights(mlp) is None
    mlp(torch.randn(1, 3, 16, dtype=torch.float64))


def test_it_keeps_two_thirds_and_uses_buffers_again() -> None:
    network = network_of("llama").requires_grad_(False)
    mlp, hidden = mlps(network)[0], torch.randn(1, 50, 16, dtype=torch.float64, requires_grad=True)

    def kept(function: Any) -> int:
        sizes: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            if tensor.shape[:-1] in {(1, 50), (50,), (2, 50)}:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            function(hidden)
        return sum(sizes.values())

    wide = 50 * 24 * 8
    assert kept(lambda given: type(mlp).forward(mlp, given)) == 3 * wide
    lighten(network)
    assert kept(mlp) == 2 * wide
    shelf = Shelf()
    first = shelf.take(hidden, 2, 50, 24)
    place = first.data_ptr()
    shelf.give(first)
    assert shelf.take(hidden, 2, 40, 24).data_ptr() == place
    assert shelf.take(hidden, 2, 40, 24).data_ptr() != place  # that one is taken
    assert shelf.take(hidden.float(), 2, 1).dtype == torch.float32


def test_the_shelf_does_not_grow_with_the_lengths_it_has_seen() -> None:
    """Longer and longer micro-batches: buffers are replaced, not added."""
    shelf, like = Shelf(), torch.zeros(1)
    for length in (3, 5, 4, 9, 7):
        taken = [shelf.take(like, length) for _ in range(4)]
        for buffer in taken:
            shelf.give(buffer)
        assert len(shelf._free) == 4
    assert {buffer.numel() for buffer in shelf._free} == {9}


def test_recomputed_activations_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activation checkpointing drops the buffers of the first pass, and its backward pass fills one again."""
    network = network_of("llama").requires_grad_(False)
    lighten(network)
    mlp, hidden = mlps(network)[0], torch.randn(1, 7, 16, dtype=torch.float64, requires_grad=True)
    (own,) = torch.autograd.grad(mlp(hidden).square().sum(), hidden)
    plain, taken = Shelf.take, []

    def watched(self: Shelf, like: Tensor, *shape: int) -> Tensor:
        tensor = plain(self, like, *shape)
        taken.append(StorageWeakRef(tensor.untyped_storage()))
        return tensor

    monkeypatch.setattr(Shelf, "take", watched)
    network = network_of("llama").requires_grad_(False)
    lighten(network)
    mlp = mlps(network)[0]
    found = checkpoint(mlp, hidden, use_reentrant=False)
    assert [buffer.expired() for buffer in taken] == [True] * (len(taken) or 1)
    direct = mlp(hidden)
    assert not taken[-1].expired()
    del direct
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), hidden)[0], own)


def test_a_second_backward_pass_is_an_error_and_not_a_wrong_number() -> None:
    network = network_of("llama").requires_grad_(False)
    lighten(network)
    hidden = torch.randn(1, 7, 16, dtype=torch.float64, requires_grad=True)
    loss = mlps(network)[0](hidden).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_saving_and_loading_know_nothing_of_it(tmp_path: Path) -> None:
    network = network_of("llama").requires_grad_(False)
    ids = torch.tensor([[1, 2, 3]])
    expected = network(ids).logits
    lighten(network)
    network.save_pretrained(tmp_path)
    torch.testing.assert_close(network(ids).logits, expected)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64)
    torch.testing.assert_close(again(ids).logits, expected)
