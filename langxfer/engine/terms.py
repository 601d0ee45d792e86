"""What the trainer relies on in what a loss returns, and what is wrong with it in words.

A loss of another shape would often train, on something else; a metric called ``loss`` would decide which weights are
kept. So this is looked at before the first step, and by ``langxfer.testing.check_objective``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from langxfer.components import Term, Terms

# What a row of metrics.jsonl has beside terms, metrics and statistics; names of validations begin with VALIDATION.
RESERVED = frozenset(
    {"loss", "step", "phase", "grad_norm", "learning_rate", "response_tokens", "tokens", "flops", "seconds"}
)
VALIDATION = "validation/"


def problem_of(terms: Any, statistics: Collection[str], examples: int) -> str | None:
    """What is wrong with what ``loss`` returned for so many examples, as a sentence; None when nothing is."""
    if not isinstance(terms, Terms):
        return f"loss returned {_shown(terms)}; expected langxfer.Terms. Return Terms({{NAME: Term(…)}}, METRICS)."
    for label, values in (("terms", terms.parts), ("metrics", terms.metrics)):
        if not isinstance(values, Mapping):
            return f"loss returned Terms whose {label} are {_shown(values)}; expected a mapping from names."
    if not terms.parts:
        return "loss gives no terms; expected one at least. Return Terms({NAME: Term(…)})."
    found = (
        *(_term_problem(name, term, examples) for name, term in terms.parts.items()),
        *(_shape_problem(f"metric {name}", "", values, examples) for name, values in terms.metrics.items()),
        _name_problem(terms, statistics),
    )
    return next((problem for problem in found if problem), None)


def _term_problem(name: str, term: Any, examples: int) -> str | None:
    if not isinstance(term, Term):
        return f"term {name} is {_shown(term)}; expected langxfer.Term(COEFFICIENT, NUMERATOR, DENOMINATOR)."
    coefficient = term.coefficient
    if not isinstance(coefficient, int | float) or not math.isfinite(coefficient):
        return f"term {name}: its coefficient is {_shown(coefficient)}; expected a finite Python number."
    for label, values in (("numerator", term.numerator), ("denominator", term.denominator)):
        problem = _shape_problem(f"term {name}", f"{label} ", values, examples)
        if problem:
            return problem
    total = term.denominator.detach().double().sum().item()
    if not 0 < total < math.inf:
        return (
            f"term {name}: its denominators sum to {total:g} over a batch; expected a finite number above 0, because "
            "the term is divided by it."
        )
    return None


def _shape_problem(owner: str, label: str, values: Any, examples: int) -> str | None:
    """``[B]`` is asked for: one number for each example, which the trainer sums."""
    begin = f"{owner}: {label}" if label else f"{owner} "
    if not isinstance(values, Tensor):
        return f"{begin}is {_shown(values)}; expected a tensor [B] = ({examples},)."
    if values.shape == (examples,):
        return None
    shape = tuple(values.shape)
    return f"{begin}has shape {shape}; expected [B] = ({examples},), a number for each example. Do not reduce it."


def _name_problem(terms: Terms, statistics: Collection[str]) -> str | None:
    """All are logged under their names, in one row with what the trainer logs."""
    kinds = {"term": terms.parts, "metric": terms.metrics, "statistic": statistics}
    for kind, names in kinds.items():
        for name in names:
            if not isinstance(name, str):
                return f"a {kind} is called {name!r}; expected text."
            if name in RESERVED or name.startswith(VALIDATION):
                return (
                    f'a {kind} is called "{name}", a name that the trainer logs something else under. Give it another '
                    f"one. Taken are {', '.join(sorted(RESERVED))}, and all that begin with {VALIDATION}."
                )
    twice = [name for name, count in Counter(name for names in kinds.values() for name in names).items() if count > 1]
    if twice:
        owners = " and ".join(f"a {kind}" for kind, names in kinds.items() if twice[0] in names)
        return f'{owners} are called "{twice[0]}"; both are logged under their names. Give one of them another.'
    return None


def _shown(value: Any) -> str:
    """A value in one short line."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})"
