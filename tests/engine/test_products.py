"""Products by oneDNN: the numbers of ``torch.mm``, and of a linear layer's own passes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from langxfer.engine import products

needs_onednn = pytest.mark.skipif(not products.has_onednn(), reason="this build of PyTorch has no oneDNN")


@pytest.fixture(autouse=True)
def small_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "ROWS", 8)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # the first call makes a kernel
@given(st.integers(0, 40), st.integers(1, 70), st.integers(1, 50), st.booleans(), st.booleans())
def test_times(rows: int, inner: int, columns: int, turned: bool, strided: bool) -> None:
    """Whatever the sizes and strides: right is a weight as it lies, or its transpose."""
    torch.manual_seed(rows + inner + columns)
    left = torch.randn(rows, 2 * inner)[:, ::2] if strided else torch.randn(rows, inner)
    right = torch.randn(columns, inner).T if turned else torch.randn(inner, columns)
    exact = left.double() @ right.double()
    torch.testing.assert_close(products.times(left, right).double(), exact, rtol=1e-5, atol=1e-5)
    assert torch.equal(products.times(left.double(), right.double()), exact)


@needs_onednn
def test_onednn_is_what_is_used() -> None:
    """For rows in blocks of one size, which are two shapes at most; the rest and other types are torch's."""
    left, right = torch.randn(20, 48), torch.randn(48, 32)

    def called(*arguments: torch.Tensor) -> tuple[int, int]:
        with torch.profiler.profile() as profile:
            products.times(*arguments)
        counts = {event.key: event.count for event in profile.key_averages()}
        return counts.get("mkldnn::_linear_pointwise", 0), counts.get("aten::mm", 0)

    assert called(left, right) == (2, 1)
    assert called(left[:8], right) == (1, 0)
    assert called(left[:7], right) == (0, 1)
    assert called(left.double(), right.double()) == (0, 1)


@needs_onednn
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_a_linear_layer(bias: bool, trained: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(12, 20, bias=bias).requires_grad_(trained)
    hidden, upstream = torch.randn(2, 7, 12, requires_grad=True), torch.randn(2, 7, 20)
    wanted = [hidden, *(layer.parameters() if trained else ())]

    def passes() -> list[torch.Tensor]:
        out = layer(hidden)
        return [out, *torch.autograd.grad((out * upstream).sum(), wanted)]

    own = passes()
    assert products.quicken(nn.Sequential(layer)) == 1
    assert products.quicken(nn.Sequential(layer)) == 0  # once is enough
    for found, expected in zip(passes(), own, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_only_plain_layers_in_float32() -> None:
    class Own(nn.Linear):
        pass

    others = nn.ModuleList([nn.Linear(3, 3).double(), nn.Linear(3, 3).bfloat16(), Own(3, 3), nn.Conv1d(1, 1, 1)])
    assert products.quicken(others) == 0


def test_bfloat16_stays_what_it_was() -> None:
    """In the forward pass of a bfloat16 recipe a linear layer gives bfloat16."""
    layer = nn.Linear(12, 20)
    products.quicken(layer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(3, 12)).dtype == torch.bfloat16


def test_without_onednn_all_is_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_onednn", lambda: False)
    layer, left = nn.Linear(3, 4), torch.randn(5, 3)
    assert products.quicken(layer) == 0
    assert torch.equal(products.times(left, layer.weight.T), torch.mm(left, layer.weight.T))
