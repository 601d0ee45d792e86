"""Attention over packed rows: each back end against softmax over a dense mask, in float64."""

from __future__ import annotations

from pathlib import Path
from shutil import which
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from langxfer.data import View
from langxfer.engine import attention, weights
from langxfer.engine.attention import Rows
from langxfer.engine.forward import Scorer
from langxfer.engine.head import Unsupported
from langxfer.errors import RecipeError
from langxfer.recipe import Compute, Model
from langxfer.testing import tiny_model
from tests.engine.made_up import made_up

VIEWS = sorted(View)


def plain(query: Tensor, key: Tensor, value: Tensor, rows: Rows, scale: float) -> Tensor:
    """The definition: softmax of all allowed products, ``[1, heads, T, D]``."""
    key, value = (part.repeat_interleave(query.shape[1] // key.shape[1], 1) for part in (key, value))
    scores = (query @ key.transpose(-1, -2) * scale).masked_fill(~rows.mask, -torch.inf)
    return scores.softmax(-1) @ value


def packed(lengths: list[tuple[int, ...]]) -> Rows:
    bounds, at = [], 0
    for row in lengths:
        ends = [at]
        for count in row:
            ends.append(ends[-1] + count)
        bounds.append(tuple(ends))
        at = ends[-1]
    return Rows(tuple(bounds), at, torch.device("cpu"))


def parts(rows: Rows, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, rows.length, heads, 8) for heads in (4, 2, 2)]
    return [torch.randn(shape, generator=generator, dtype=dtype).transpose(1, 2).requires_grad_() for shape in shapes]


LENGTHS = st.lists(
    st.tuples(st.integers(1, 40), st.lists(st.integers(0, 30), min_size=1, max_size=4)), min_size=1, max_size=4
)


@pytest.mark.parametrize("name", [attention.ROWS, attention.DENSE])
@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, chunk=st.sampled_from([1, 7, 16, 1000]))
def test_values_and_gradients(name: str, lengths: list[tuple[int, list[int]]], chunk: int) -> None:
    """Any rows, any number of branches (empty ones too), pieces of any size; fewer key heads than query heads."""
    function = {attention.ROWS: attention._by_segments, attention.DENSE: attention._by_mask}[name]
    rows = packed([(prompt, *branches) for prompt, branches in lengths])
    given_parts = parts(rows)
    expected = plain(*given_parts, rows, 0.3)
    upstream = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    own = torch.autograd.grad((expected * upstream).sum(), given_parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "CHUNK", chunk)
        found, _ = function(nn.Module(), *given_parts, None, scaling=0.3, rows=rows)
        found = found.transpose(1, 2)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        for gradient, right in zip(torch.autograd.grad((found * upstream).sum(), given_parts), own, strict=True):
            torch.testing.assert_close(gradient, right, rtol=1e-9, atol=1e-9)


def test_bfloat16_is_as_near_as_one_rounding_allows() -> None:
    rows = packed([(30, 200, 150), (170, 20, 9, 11)])
    given_parts = [part.detach() for part in parts(rows, torch.bfloat16)]
    exact = plain(*(part.double() for part in given_parts), rows, 0.3)
    found, _ = attention._by_segments(nn.Module(), *given_parts, None, scaling=0.3, rows=rows)
    assert found.dtype == torch.bfloat16
    assert (found.transpose(1, 2).double() - exact).abs().max() < 0.03


@pytest.fixture
def network(tmp_path: Path) -> Any:
    folder = tiny_model(tmp_path)
    with weights.quiet():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()


@pytest.mark.skipif(not which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself, when it compiles
def test_flex_attention_scores_alike(network: nn.Module) -> None:
    """FlexAttention has no backward pass on the CPU, but its forward pass sees the same rows."""
    network.requires_grad_(False)
    examples = made_up([(3, 5, 4, 6), (1, 1, 1, 2), (60, 45, 70, 20)])
    with torch.no_grad():
        scorer = Scorer(network, "tree")
        own = scorer.score(scorer.units(examples, VIEWS))
        scorer = Scorer(network, "tree", attention="flex")
        assert network.config._attn_implementation == attention.FLEX
        found = scorer.score(scorer.units(examples, VIEWS))
    for (*place, scores), (*other, expected) in zip(found, own, strict=True):
        assert place == other
        torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)


def test_flex_attention_is_refused_where_it_cannot_learn(network: nn.Module) -> None:
    with pytest.raises(Unsupported, match="no backward pass on the CPU"):
        Scorer(network, "tree", attention="flex")


def test_flex_attention_is_tried_before_it_is_taken(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Here on the CPU, where it cannot learn; then with a kernel that works."""
    device = torch.device("cpu")
    problem = attention.flex_problem(device, 8, torch.float32)
    assert problem
    said: list[str] = []
    scorer = Scorer(network, "tree", notify=said.append)
    assert scorer._no_flex() and said == [
        f"compute.attention: FlexAttention does not work here ({problem}), so sdpa is used"
    ]
    attention.flex_problem.cache_clear()
    monkeypatch.setattr(attention, "_compiled_flex", lambda: lambda *parts, block_mask: sum(parts))
    assert not scorer._no_flex() and len(said) == 1
    attention.flex_problem.cache_clear()


def test_queries_in_float32_meet_values_in_bfloat16() -> None:
    """As they do where token embeddings are trained: their positions are added in float32, and autocast looks away."""
    rows = packed([(5, 4, 3), (2, 6)])
    query, key, value = (part.detach() for part in parts(rows, torch.float32))
    call = attention._by_segments
    mixed, _ = call(nn.Module(), query, key, value.bfloat16(), None, scaling=0.3, rows=rows)
    alike, _ = call(nn.Module(), query.bfloat16(), key.bfloat16(), value.bfloat16(), None, scaling=0.3, rows=rows)
    assert mixed.dtype == torch.bfloat16 and torch.equal(mixed, alike)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("chosen", ["flex", "sdpa"])
def test_gradients_on_cuda(tmp_path: Path, chosen: str) -> None:
    """Heads of 16, the narrowest that FlexAttention has kernels for."""
    folder = tiny_model(tmp_path, head_dim=16)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    examples = made_up([(3, 5, 4, 6), (60, 45, 70, 20)])
    scorer = Scorer(network, "padded")
    sum(scores.sum() for *_, scores in scorer.score(scorer.units(examples, VIEWS))).backward()
    own = {name: value.grad.clone() for name, value in network.named_parameters()}
    network.zero_grad()
    network.cuda()
    scorer = Scorer(network, "tree", attention=chosen)
    sum(scores.sum() for *_, scores in scorer.score(scorer.units(examples, VIEWS))).backward()
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.grad.cpu(), own[name], rtol=1e-3, atol=1e-3)


def test_without_rows_they_do_what_sdpa_does(network: nn.Module) -> None:
    """The same model generates answers, with and without padding in the batch."""
    ids = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    with torch.no_grad():
        expected = [network(ids).logits, network(ids, attention_mask=mask).logits]
        Scorer(network, "tree")
        assert network.config._attn_implementation == attention.ROWS
        found = [network(ids).logits, network(ids, attention_mask=mask).logits]
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1][:, 1:], expected[1][:, 1:])


def test_attention_that_is_not_told_is_noticed(network: nn.Module) -> None:
    """A model that drops what it does not know would let every token see every row."""
    scorer = Scorer(network, "tree")
    attend = type(network.model.layers[0].self_attn).forward
    for layer in network.model.layers:
        layer.self_attn.forward = lambda *given, rows=None, own=layer.self_attn, **options: attend(
            own, *given, **options
        )
    (example,) = made_up([(3, 5, 4, 6)])
    with pytest.raises(Unsupported, match="does not hand its attention what it is given"):
        scorer.self_check(example)


@pytest.mark.parametrize("name", [attention.ROWS, attention.DENSE, attention.FLEX])
def test_attention_of_another_kind_is_refused_by_name(name: str) -> None:
    functions = {attention.ROWS: attention._by_segments, attention.DENSE: attention._by_mask}
    rows = packed([(3, 2)])
    with pytest.raises(attention.CannotPack, match=r"its attention has softcap\. Set compute.attention: eager"):
        functions.get(name, attention._by_blocks)(nn.Module(), *parts(rows), None, rows=rows, softcap=30.0)


def test_auto_takes_what_the_model_has(tmp_path: Path) -> None:
    """Gemma 2 has no sdpa in transformers: auto takes its own eager attention, and sdpa is an error."""
    folder = tiny_model(tmp_path, "gemma2", layer_types=["full_attention"] * 2, query_pre_attn_scalar=8)
    given_model = Model(source=str(folder))
    network = weights.load_model(given_model, folder, [], Compute(), torch.device("cpu"))
    (example,) = made_up([(3, 5, 4, 6)])
    scorer = Scorer(network, "tree")
    assert network.config._attn_implementation == "eager"
    scorer.self_check(example)
    with pytest.raises(RecipeError, match="does not support"):
        weights.load_model(given_model, folder, [], Compute(attention="sdpa"), torch.device("cpu"))
