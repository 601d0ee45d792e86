"""Evaluator ``lm_eval``: tasks of lm-evaluation-harness, answered by langxfer's engine."""

from __future__ import annotations

from langxfer import Evaluator, hookimpl


@hookimpl
def register_evaluators() -> list[type[Evaluator]]:
    from langxfer_lm_eval.evaluator import LmEval

    return [LmEval]
