"""The verb ``evaluate``: a model and what to measure in, scores out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from langxfer import evaluating, plugins
from langxfer.cli.execution import observed
from langxfer.cli.options import JsonOption, PluginOption, RunsOption, out
from langxfer.cli.summary import print_notes
from langxfer.report.tables import format_score

if TYPE_CHECKING:
    from langxfer.engine.evaluation_job import Evaluated

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL_OR_RUN", help="A run folder, or a model: hub id, folder, .gguf file, as model.source of recipes."
    ),
]
WhatArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE_OR_EVALUATORS",
        help="A recipe (its evaluators, data and validation examples), or names of evaluators with commas.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change one value: of an evaluator by its name (belebele.languages=[de]), or of the recipe; without one, "
        "of model, evaluators or compute (model.template=chatml). May be repeated.",
        show_default=False,
    ),
]
BeforeOption = Annotated[bool, typer.Option("--before", help="Of a run folder, the model before training.")]
LimitOption = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="The option limit of every evaluator that has it: a quick look.", show_default=False
    ),
]


def evaluate(
    model: ModelArgument,
    what: WhatArgument,
    before: BeforeOption = False,
    limit: LimitOption = None,
    set_: SetOption = None,
    plugin: PluginOption = None,
    runs: RunsOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Measure a model: the adapted one of a run, the one before, or any other. What was asked once is not asked again.

    Example:  langxfer evaluate runs/my-run-0123456789 recipes/clo.yaml --set language_fidelity.limit=20
    """
    catalog = plugins.load(plugin or ())
    with observed(catalog) as observe:
        found = evaluating.evaluate(
            model,
            what,
            before=before,
            limit=limit,
            overrides=set_ or (),
            catalog=catalog,
            runs=runs,
            observe=observe,
        )
    from langxfer.engine.runtime import is_main_process

    if is_main_process():
        _print_json(found) if json_ else _print(found)


def _print(found: Evaluated) -> None:
    table = Table("score", "value", "unit", "n", title=escape(found.model), box=SIMPLE)
    table.columns[0].overflow = "fold"
    table.columns[1].justify = table.columns[3].justify = "right"
    for own in found.evaluations.values():
        for score in own.scores:
            table.add_row(escape(score.name), format_score(score), score.unit, str(score.n))
    out.print(table)
    print_notes(found.outcomes, out)
    if not found.did_work:
        out.print("Nothing to do: all of it was measured before.")
    out.print(f"evaluation:  {escape(str(found.path))}", highlight=False, soft_wrap=True)


def _print_json(found: Evaluated) -> None:
    scores = [{"evaluator": name, **asdict(score)} for name, own in found.evaluations.items() for score in own.scores]
    stages = [{"stage": o.stage.label, "key": o.stage.key, "made": o.made} for o in found.outcomes]
    notes = [note for o in found.outcomes for note in o.artifact.manifest["facts"].get("notes", ())]
    value = {"evaluation": str(found.path), "did_work": found.did_work, "scores": scores, "notes": notes}
    value["stages"] = stages
    print(json.dumps(value, indent=1, ensure_ascii=False))
