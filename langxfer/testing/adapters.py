"""What the engine relies on in selectors that add parameters to a model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.components import Selector
from langxfer.testing.contracts import require
from langxfer.testing.models import tiny_model

if TYPE_CHECKING:
    from torch import Tensor


def check_adapting(selector: Selector) -> None:
    """On a tiny Llama of two layers: no change at the start, the seed decides, the result is a plain model."""
    with tempfile.TemporaryDirectory() as place:
        _check_start(selector, tiny_model(Path(place) / "model"))
        _check_result(selector, Path(place) / "model", Path(place) / "adapter")


def _load(folder: Path) -> Any:
    import torch

    from langxfer.engine.weights import load_model
    from langxfer.recipe import Compute, Model

    return load_model(Model(source=str(folder)), folder, [], Compute(), torch.device("cpu"))


def _logits(network: Any) -> Tensor:
    import torch

    with torch.no_grad():
        return network(torch.arange(5, 25)[None]).logits


def _values(network: Any) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.named_parameters()}


def _check_start(selector: Selector, folder: Path) -> None:
    import torch

    network, again = _load(folder), _load(folder)
    before, plain, cls = _logits(network), _values(network), type(network)
    state = torch.get_rng_state()
    selector.adapt(network, 0)
    require(torch.equal(torch.get_rng_state(), state), "adapt moves torch's own random generator")
    torch.rand(3)
    selector.adapt(again, 0)
    require(type(network) is cls, f"adapt turns the model into {type(network).__name__}")
    require(torch.equal(_logits(network.eval()), before), "adapt changes the model's outputs before any step")
    first, second = _values(network), _values(again)
    same = first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())
    require(same, "adapt gives other parameters when it is asked again with the same seed")
    expected = selector.adapted({name: tuple(value.shape) for name, value in plain.items()})
    found = {name: tuple(value.shape) for name, value in first.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    require(not wrong, f"adapted tells other parameters than adapt makes: {', '.join(wrong[:3])}")


def _check_result(selector: Selector, folder: Path, own: Path) -> None:
    import torch

    from langxfer.engine.weights import trainable

    network, plain = _load(folder), _load(folder)
    parameters = trainable(network, selector)
    generator = torch.Generator().manual_seed(1)
    for value in parameters.values():
        value.data += 0.1 * torch.randn(value.shape, generator=generator)
    trained = _logits(network)
    result: Mapping[str, Tensor] = selector.finished(network, parameters, own)
    known = dict(plain.named_parameters())
    unknown = sorted(result.keys() - known.keys())
    require(not unknown, f"finished gives {', '.join(unknown[:3])}, which the plain model does not have")
    for name, value in result.items():
        fits = value.shape == known[name].shape and value.dtype == torch.float32
        require(fits, f"finished gives {name} as {value.dtype} {list(value.shape)}")
        known[name].data.copy_(value.detach())
    require(torch.allclose(_logits(plain), trained, atol=1e-3), "finished gives a model with other outputs")
