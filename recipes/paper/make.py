"""Writes the paper's recipes from experiments.yaml:  python recipes/paper/make.py   (a test compares the two)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parent

RECIPE = """\
# {about}, {model} and {language}.
# Made by recipes/paper/make.py; what is ours because the paper leaves it open is marked "ours".
title: {model}-{language}-{method}

model:
  source: {source}
  template: alpaca # ours: a base model has no template of its own
  dtype: bfloat16 # ours; trained weights are kept in float32

data:
  source: OpenAssistant/oasst1 # "OpenAssistant"; ours: the first release
  format: oasst # first turns in order of rank; ours: ties by message id
  replies_per_prompt: all # ours: one a prompt would be fewer than 6,400
  source_language: en
  target_languages: [{language}]
  limit: 6400
  validation: 200 # ours: the lowest validation loss decides, of how many is not said
  max_length: 3000

translator:
  name: m2m100
  model: facebook/m2m100_1.2B
  beam_size: 5 # ours

phases:
{phases}
evaluators:
  - {{name: belebele, languages: [en, {language}], preset: paper-label}}
{mmmlu}  # not in the paper: whether answers are in the language of the question, which no win rate says
  - {{name: language_fidelity, temperature: 0.6, top_p: 0.9, max_new_tokens: 256}}
"""

PHASE = """\
  - objective: {objective}
    selector: {selector}
    training:
      learning_rate: 5.0e-5
      min_learning_rate: 1.1e-6
      schedule: cosine # ours
      batch_size: 8 # ours: pairs of all processes together
      epochs: 1
      validate_every: 100 # ours
      keep: best
"""

MMMLU = """\
  - name: mmmlu
    languages: [en, {language}]
    temperature: 0.6
    top_p: 0.9
    max_new_tokens: 512 # ours
    max_regenerations: 3
"""

SWEEP = """\
# Win rates by the size of the training data, CLO and SFT (section 6), {model}.
# Made by recipes/paper/make.py.  langxfer sweep recipes/paper/{model}-sizes.yaml
title: {model}-sizes
set:
  evaluators: [{{name: language_fidelity, temperature: 0.6, top_p: 0.9, max_new_tokens: 256}}] # see README.md
grid:
  data.limit: {limits}
points:
{points}"""

POINT = """\
  - {{name: {language}-{method}, recipe: {model}/{language}-{method}.yaml}}
"""


def files() -> dict[str, str]:
    """Path below this folder -> text, of everything that is made."""
    table = YAML(typ="safe").load(FOLDER / "experiments.yaml")
    made = {
        f"{model}/{language}-{method}.yaml": _recipe(table, model, language, method)
        for model, language, method in _experiments(table)
    }
    return made | {f"{model}-sizes.yaml": _sweep(model, table["sizes"]) for model in table["sizes"]["models"]}


def _experiments(table: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(model, language, method) of every recipe."""
    yield from product(table["models"], table["languages"], table["methods"])
    for method, own in table["ablations"].items():
        yield from product(own["models"], own["languages"], [method])


def _recipe(table: Mapping[str, Any], model: str, language: str, method: str) -> str:
    found = (table["methods"] | table["ablations"])[method]
    return RECIPE.format(
        about=found["about"],
        model=model,
        language=language,
        method=method,
        source=table["models"][model],
        phases="".join(PHASE.format(**phase) for phase in found["phases"]),
        mmmlu=MMMLU.format(language=language) if language in table["mmmlu"] else "",
    )


def _sweep(model: str, sizes: Mapping[str, Any]) -> str:
    points = product(sizes["languages"], sizes["methods"])
    listed = "".join(POINT.format(model=model, language=language, method=method) for language, method in points)
    return SWEEP.format(model=model, limits=sizes["limits"], points=listed)


def main() -> None:
    """Write what is made, and remove recipes that are made no more."""
    made = files()
    for path in FOLDER.glob("*/*.yaml"):
        if path.relative_to(FOLDER).as_posix() not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
