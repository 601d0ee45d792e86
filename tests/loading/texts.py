"""The recipe that the tests of loading start from, and a plugin with words that nest."""

from __future__ import annotations

import textwrap

# Line numbers in the tests below count in this text.
VALID = """\
title: a test
model:
  source: tiny
data:
  source: pairs.jsonl
  format: parallel
  target_languages: [de]
phases:
  - objective:
      name: clo
      lambda: 0.25
    selector: full
    training:
      learning_rate: 5e-5
"""

WORDS = '''
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from langxfer.components import AnyTranslator, Evaluation, Evaluator, Translator
from langxfer.hookspecs import hookimpl


class Echo(Translator):
    """Says what it heard."""

    name: Literal["echo"] = "echo"
    file: Path
    times: int | Literal["often"] = Field(1, description="How many times.")
    fallback: AnyTranslator | None = None
    others: tuple[AnyTranslator, ...] = ()

    def languages(self):
        return frozenset({"en", "de"})

    def open(self, device, cache):
        raise NotImplementedError

    def resolve(self, folder):
        return self.model_copy(update={"file": folder / self.file})


class Silent(Evaluator):
    name: Literal["silent"] = "silent"
    level: float = 0.5

    @field_validator("level")
    @classmethod
    def _known(cls, level):
        if level == 13:
            raise ValueError("13 brings bad luck")
        return level

    def evaluate(self, evidence):
        return Evaluation((), ())


@hookimpl
def register_translators():
    return [Echo]


@hookimpl
def register_evaluators():
    return [Silent]
'''


def with_translator(options: str) -> str:
    return VALID.replace("format: parallel", "format: alpaca") + "translator:\n" + textwrap.indent(options, "  ")
