"""The output head in chunks: values and gradients are those of plain autograd."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig

from langxfer.engine import forward
from langxfer.engine.forward import Head


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


@pytest.mark.parametrize("tokens", [1, 7, 1000], ids=lambda tokens: f"chunk {tokens}")
@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("kind", HEADS)
def test_head_equals_autograd(monkeypatch: pytest.MonkeyPatch, kind: str, trained: bool, tokens: int) -> None:
    monkeypatch.setattr(forward, "CHUNK_ELEMENTS", tokens * 50)
    model = Bare(**HEADS[kind]).requires_grad_(trained)
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(20, 8, generator=generator, requires_grad=True)
    targets = torch.randint(0, 50, (20,), generator=generator)
    upstream = torch.randn(20, generator=generator)
    expected = torch.log_softmax(plain_logits(model, hidden), -1)[torch.arange(20), targets]
    wanted = [hidden, *(model.lm_head.parameters() if trained else ())]
    own = torch.autograd.grad((expected * upstream).sum(), wanted)
    found = Head(model)(hidden, targets)
    torch.testing.assert_close(found, expected)
    for gradient, right in zip(torch.autograd.grad((found * upstream).sum(), wanted), own, strict=True):
        torch.testing.assert_close(gradient, right, rtol=1e-4, atol=1e-5)
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
def test_no_tokens_are_a_differentiable_nothing(trained: bool) -> None:
    model = Bare(bias=True).requires_grad_(trained)
    hidden = torch.randn(0, 8, requires_grad=True)
    found = Head(model)(hidden, torch.zeros(0, dtype=torch.long))
    assert found.shape == (0,)
    found.sum().backward()
    assert hidden.grad is not None


@pytest.mark.parametrize("trained", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("tokens", [1, 7, 1000])
def test_chunks_never_hold_more_than_their_share(monkeypatch: pytest.MonkeyPatch, trained: bool, tokens: int) -> None:
    monkeypatch.setattr(forward, "CHUNK_ELEMENTS", tokens * 50)
    model, sizes = Bare(bias=False).requires_grad_(trained), []
    head = Head(model)
    plain = Head.logits
    monkeypatch.setattr(Head, "logits", lambda self, hidden: sizes.append(len(hidden)) or plain(self, hidden))
    head(torch.randn(20, 8, requires_grad=True), torch.zeros(20, dtype=torch.long)).sum().backward()
    assert max(sizes) == min(tokens, 20)
    assert sum(sizes) == (40 if trained else 20)  # only a trained head computes its logits again
