"""Terms that the trainer cannot use are refused before the first step, in words; it would train on something else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from langxfer.builtin.selectors import AttentionSelector
from langxfer.components import Objective, Term, Terms
from langxfer.data import View
from langxfer.engine import weights
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.runtime import Runtime
from langxfer.engine.step import Examples, Step
from langxfer.engine.terms import RESERVED, problem_of
from langxfer.engine.train import train
from langxfer.errors import PluginError
from langxfer.logps import LogProbs
from langxfer.recipe import Compute, Model, Training

Loss = Callable[[torch.Tensor, torch.Tensor], Any]  # of a numerator and a denominator, both [B]
COMPUTE = Compute(device="cpu", threads=1)


def named(*terms: str, metrics: tuple[str, ...] = ()) -> Loss:
    """Sound terms and metrics of these names."""
    return lambda x, n: Terms({name: Term(1.0, x, n) for name in terms}, {name: x.detach() for name in metrics})


def one(coefficient: Any, numerator: Callable[..., Any], denominator: Callable[..., Any]) -> Loss:
    return lambda x, n: Terms({"nll": Term(coefficient, numerator(x), denominator(n))})


def same(values: Any) -> Any:
    return values


FAULTS: dict[str, tuple[Loss, str]] = {
    "metric loss": (named("nll", metrics=("loss",)), 'a metric is called "loss"'),
    "metric step": (named("nll", metrics=("step",)), 'a metric is called "step"'),
    "metric of validation": (named("nll", metrics=("validation/loss",)), 'a metric is called "validation/loss"'),
    "term loss": (named("loss", "nll"), 'a term is called "loss"'),
    "twice": (named("nll", metrics=("nll",)), 'a term and a metric are called "nll"'),
    "number as name": (named(3), "a term is called 3; expected text"),  # type: ignore[arg-type]
    "a mean": (one(1.0, torch.mean, same), r"term nll: numerator has shape \(\); expected \[B\] = \(11,\)"),
    "one denominator": (
        one(1.0, same, lambda n: torch.tensor(1.0)),
        r"term nll: denominator has shape \(\); expected \[B\] = \(11,\)",
    ),
    "a number": (one(1.0, same, lambda n: 2.0), r"term nll: denominator is 2.0 \(float\); expected a tensor"),
    "a mean as metric": (
        lambda x, n: Terms({"nll": Term(1.0, x, n)}, {"size": x.mean()}),
        r"metric size has shape \(\); expected \[B\]",
    ),
    "a number as metric": (lambda x, n: Terms({"nll": Term(1.0, x, n)}, {"size": 1.0}), "metric size is 1.0"),
    "a mapping": (lambda x, n: {"nll": Term(1.0, x, n)}, "loss returned .*dict.*; expected langxfer.Terms"),
    "nothing": (lambda x, n: None, r"loss returned None \(NoneType\); expected langxfer.Terms"),
    "a tensor": (lambda x, n: x.sum(), r"loss returned a tensor of shape \(\); expected langxfer.Terms"),
    "no terms": (lambda x, n: Terms({}), "loss gives no terms"),
    "terms in a list": (lambda x, n: Terms([Term(1.0, x, n)]), "loss returned Terms whose terms are .*a mapping"),
    "a term that is none": (lambda x, n: Terms({"nll": x}), "term nll is a tensor of shape .*; expected langxfer.Term"),
    "zero denominator": (one(1.0, same, torch.zeros_like), "term nll: its denominators sum to 0 over a batch"),
    "denominator of nan": (one(1.0, same, lambda n: n * math.nan), "its denominators sum to nan"),
    "coefficient in a tensor": (one(torch.tensor(1.0), same, same), r"term nll: its coefficient is a tensor"),
    "detached": (one(1.0, torch.Tensor.detach, same), "no term has a gradient with respect to .* of TT"),
    "coefficient of nan": (one(math.nan, same, same), r"term nll: its coefficient is nan \(float\)"),
}


class Faulty(Objective):
    """NLL of TT, or what ``FAULTS`` says."""

    name: Literal["faulty"] = "faulty"
    fault: str = ""
    views: ClassVar[frozenset[View]] = frozenset({View.TT})

    def loss(self, policy: LogProbs, reference: LogProbs | None) -> Any:
        make = FAULTS[self.fault][0] if self.fault else named("nll", metrics=("size",))
        return make(-policy.total[View.TT], policy.tokens[View.TT])


def learn(folder: Path, encoded: list[Encoded], runtime: Runtime, where: Path, fault: str = "") -> None:
    network = weights.load_model(Model(source=str(folder)), folder, [], COMPUTE, torch.device("cpu"))
    step = Step(Scorer(network, "tree"), Faulty(fault=fault), runtime, 400, lambda own: {"tokens": 1, "flops": 1})
    parameters = weights.trainable(network, AttentionSelector())
    data = Examples(encoded, None)
    train(
        step, parameters, Training(batch_size=11, steps=1), COMPUTE, data, data, where, "train[0]", lambda event: None
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_terms_that_cannot_be_used_are_named_before_the_first_step(
    folder: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path, fault: str
) -> None:
    with pytest.raises(PluginError, match=f'^objective "faulty": .*{FAULTS[fault][1]}'):
        learn(folder, encoded, runtime, tmp_path, fault)
    assert not (tmp_path / "metrics.jsonl").read_text()


def test_reserved_are_the_names_that_rows_have_beside_those_of_the_objective(
    folder: Path, encoded: list[Encoded], runtime: Runtime, tmp_path: Path
) -> None:
    learn(folder, encoded, runtime, tmp_path)
    row, validation = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert row.keys() - {"nll", "size"} == RESERVED - {"phase"}  # the run folder adds the phase
    assert validation.keys() == {"step", "validation/loss", "validation/nll", "validation/size"}


def test_statistics_are_logged_too() -> None:
    terms = named("nll", metrics=("size",))(torch.ones(2), torch.ones(2))
    assert problem_of(terms, ["kl"], 2) is None
    assert 'a metric and a statistic are called "size"' in str(problem_of(terms, ["size"], 2))
    assert 'a statistic is called "seconds"' in str(problem_of(terms, ["seconds"], 2))
