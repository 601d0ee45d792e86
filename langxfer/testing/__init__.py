"""For tests of plugins: tiny models, parallel examples, a fake translator, and checks of the contracts.

The checks raise ``AssertionError`` with a sentence that says which part of the contract in
``langxfer.components`` does not hold. A plugin's test is then one line: ``check_objective(Simpo())``.
"""

from langxfer.testing.checks import check_filter, check_selector, check_translator
from langxfer.testing.evaluators import check_evaluator
from langxfer.testing.fakes import FakeTranslator, parallel_examples
from langxfer.testing.judges import check_judge
from langxfer.testing.models import tiny_model
from langxfer.testing.objectives import check_objective

__all__ = [
    "FakeTranslator",
    "check_evaluator",
    "check_filter",
    "check_judge",
    "check_objective",
    "check_selector",
    "check_translator",
    "parallel_examples",
    "tiny_model",
]
