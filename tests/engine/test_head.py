"""The output head in chunks: values and gradients are those of plain autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig

from langxfer.engine import head
from langxfer.engine.head import Head


class Bare(nn.Module):
    """A head without a body."""

    def __init__(self, bias: bool, **config: float):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.lm_head = nn.Linear(8, 50, bias=bias)
        for value in self.lm_head.parameters():
            value.data = torch.randn(value.shape, generator=generator)
        self.settings = config

    @property
    def config(self) -> Any:
        return AutoConfig.for_model("llama", **self.settings)

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head


HEADS: dict[str, dict[str, Any]] = {
    "plain": {"bias": False},
    "bias": {"bias": True},
    "cap": {"bias": False, "final_logit_softcapping": 2.0},
    "scale": {"bias": True, "logit_scale": 0.3, "logits_scaling": 1.5},
    "all": {"bias": True, "logit_scale": 1.7, "final_logit_softcapping": 3.0},
}


def plain_logits(model: Bare, hidden: Tensor) -> Tensor:
    settings = model.settings
    logits = model.lm_head(hidden) * settings.get("logit_scale", 1.0) / settings.get("logits_scaling", 1.0)
    cap = settings.get("final_logit_softcapping")
    return cap * torch.tanh(logits / cap) if cap else logits


TILES = [(1, 1), (7, 11), (1000, 50), (3, 1000), (20, 13)]  # one, primes, more than there are, a divisor


@pytest.fixture(params=TILES, ids=lambda tile: f"tile {tile[0]}x{tile[1]}")
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    tokens, words = request.param
    monkeypatch.setattr(head, "TILE_TOKENS", tokens)
    monkeypatch.setattr(head, "TILE_WORDS", words)
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", tokens * 50)
    return tokens, words


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(20, 8, generator=generator).to(dtype).requires_grad_()
    return hidden, torch.randint(0, 50, (20,), generator=generator), torch.randn(20, generator=generator).to(dtype)


@pytest.mark.parametrize("kind", HEADS)
def test_several_continuations_of_a_state(kind: str, tile: tuple[int, int]) -> None:
    """Some states have many targets, others one or none, in any order."""
    model = Bare(**HEADS[kind]).double()
    generator = torch.Generator().manual_seed(4)
    hidden = inputs(torch.float64)[0]
    owners, targets = (torch.randint(0, most, (60,), generator=generator) for most in (18, 50))
    found = Head(model).continuations(hidden, owners, targets)
    expected = torch.log_softmax(plain_logits(model, hidden), -1)[owners, targets]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)
    assert not found.requires_grad


def test_continuations_of_a_bfloat16_model_are_summed_in_float32() -> None:
    model = Bare(False).bfloat16()
    hidden, targets, _ = inputs(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = Head(model).continuations(hidden, torch.arange(20), targets)
    exact = torch.log_softmax(hidden.detach().float() @ model.lm_head.weight.float().T, -1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact[torch.arange(20), targets].detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("kind", HEADS)
def test_head_equals_autograd(kind: str, trained: bool, dtype: torch.dtype, tile: tuple[int, int]) -> None:
    model = Bare(**HEADS[kind]).to(dtype).requires_grad_(trained)
    hidden, targets, upstream = inputs(dtype)
    expected = torch.log_softmax(plain_logits(model, hidden), -1)[torch.arange(20), targets]
    wanted = [hidden, *(model.lm_head.parameters() if trained else ())]
    own = torch.autograd.grad((expected * upstream).sum(), wanted)
    found = Head(model)(hidden, targets)
    near = {"rtol": 1e-10, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(found, expected, **near)
    for gradient, right in zip(torch.autograd.grad((found * upstream).sum(), wanted), own, strict=True):
        torch.testing.assert_close(gradient, right, **near)
    assert all(value.grad is None for value in model.parameters())


def test_gradcheck(tile: tuple[int, int]) -> None:
    model = Bare(**HEADS["all"]).double().requires_grad_(False)
    hidden, targets, _ = inputs(torch.float64)
    few = hidden[:3].detach().requires_grad_()  # each number of it takes two passes over every tile
    assert torch.autograd.gradcheck(lambda given: Head(model)(given, targets[:3]), (few,))


def test_far_logits_stay_finite(tile: tuple[int, int]) -> None:
    """Certain tokens and impossible ones: exp of neither overflows, and tiles in any order of size agree."""
    model = Bare(bias=False).requires_grad_(False)
    hidden, targets, _ = inputs(torch.float32)
    found = Head(model)(hidden * 1e3, targets)
    expected = torch.log_softmax(plain_logits(model, hidden * 1e3).double(), -1)[torch.arange(20), targets]
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-2)
    (slope,) = torch.autograd.grad(found.sum(), hidden)
    assert slope.isfinite().all()


def test_sums_are_kept_in_float32_for_bfloat16(tile: tuple[int, int]) -> None:
    """Rounded once, at the end: the log-probabilities are those of the rounded inputs, exactly computed."""
    model = Bare(bias=False).to(torch.bfloat16).requires_grad_(False)
    hidden, targets, _ = inputs(torch.bfloat16)
    found = Head(model)(hidden, targets)
    precise = Bare(bias=False).double()
    precise.lm_head.weight.data = model.lm_head.weight.double()
    expected = torch.log_softmax(plain_logits(precise, hidden.double()), -1)[torch.arange(20), targets]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_no_tokens_are_a_differentiable_nothing(trained: bool) -> None:
    model = Bare(bias=True).requires_grad_(trained)
    hidden = torch.randn(0, 8, requires_grad=True)
    found = Head(model)(hidden, torch.zeros(0, dtype=torch.long))
    assert found.shape == (0,)
    found.sum().backward()
    assert hidden.grad is not None


def test_a_frozen_head_never_holds_more_than_a_tile(tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []
    plain = Head.tile

    def watched(self: Head, hidden: Tensor, words: slice) -> Tensor:
        logits = plain(self, hidden, words)
        sizes.append(tuple(logits.shape))
        return logits

    monkeypatch.setattr(Head, "tile", watched)
    model = Bare(bias=False).requires_grad_(False)
    hidden, targets, _ = inputs(torch.float32)
    Head(model)(hidden, targets).sum().backward()
    assert max(tokens for tokens, _ in sizes) <= tile[0]
    assert max(words for _, words in sizes) <= tile[1]
    assert sum(tokens * words for tokens, words in sizes) == 20 * 50  # each logit once: the backward makes none


@pytest.mark.parametrize("kind", HEADS)
def test_a_trained_head_in_bfloat16_scores_as_the_frozen_one(kind: str) -> None:
    """At the first step policy and reference are one model: autocast would round the logits of the policy alone."""
    model = Bare(**HEADS[kind]).bfloat16()
    hidden, targets, weights = (part.detach() for part in inputs(torch.bfloat16))
    model.requires_grad_(False)
    reference = Head(model)(hidden, targets)
    model.float().requires_grad_(True)  # the copy that is trained
    hidden = hidden.float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        policy = Head(model)(hidden, targets)
    assert policy.dtype == torch.float32
    torch.testing.assert_close(policy, reference, rtol=0, atol=1e-5)
    (policy * weights).sum().backward()
    found = [hidden.grad, *(value.grad for value in model.parameters())]
    again = hidden.detach().requires_grad_()
    model.zero_grad()
    scores = plain_logits(model, again).log_softmax(-1).gather(-1, targets[:, None])[:, 0]
    (scores * weights.float()).sum().backward()
    for own, expected in zip(found, [again.grad, *(value.grad for value in model.parameters())], strict=True):
        torch.testing.assert_close(own, expected, rtol=0.03, atol=0.03)


def test_tiles_are_larger_on_a_gpu() -> None:
    assert head.tiles(torch.device("cpu")) == (head.TILE_TOKENS, head.TILE_WORDS)
    assert head.tiles(torch.device("cuda")) == (4 * head.TILE_TOKENS, 4 * head.TILE_WORDS)
