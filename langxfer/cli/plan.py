"""``langxfer plan``: what would be made, and what it would cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from langxfer import loading, plugins
from langxfer.cli.options import JsonOption, PluginOption, RecipeArgument, RunsOption, SetOption, out
from langxfer.engine.machines import UTILISATION
from langxfer.errors import ArtifactError

if TYPE_CHECKING:
    from langxfer.engine.cost import Cost
    from langxfer.engine.forecast import Forecast
    from langxfer.engine.plan import Outlook


def plan(
    recipe: RecipeArgument,
    set_: SetOption = None,
    plugin: PluginOption = None,
    runs: RunsOption = Path("runs"),
    machine: Annotated[
        str,
        typer.Option(
            "--machine", metavar="LIST", help="Machines to estimate for: h100, h200, a100, several as 8xa100."
        ),
    ] = "h100,8xa100",
    utilisation: Annotated[
        float, typer.Option("--utilisation", min=0.01, max=1, help="Share of a machine's peaks that is reached.")
    ] = UTILISATION,
    json_: JsonOption = False,
) -> None:
    """Show the stages of a recipe: key, hit or miss, the reason of each miss, and the cost.

    Once the data is encoded, tokens and FLOPs are exact. What the recipe would cost on other machines is an estimate,
    also of models and data that are out of reach.

    Example:  langxfer plan paper/llama-3-8b/sw-clo --machine h100,8xa100
    """
    loaded = loading.load_recipe(recipe, plugins.load(plugin or ()), set_ or ())
    from langxfer.engine import cost
    from langxfer.engine import plan as planning
    from langxfer.engine.forecast import forecast
    from langxfer.engine.machines import read_machines
    from langxfer.engine.store import Store

    machines, store = read_machines(machine), Store(runs / "artifacts")
    made: planning.Plan | None = None
    unknown: str | None = None
    try:
        made = planning.build(loaded.recipe)
    except ArtifactError as error:  # a hub that does not answer: what is there already is not known, the cost may be
        unknown = str(error)
    estimate = cost.estimate(loaded.recipe, store, made)
    if unknown and estimate.uncounted:
        raise ArtifactError(unknown)
    rows = planning.outlook(made, store) if made else []
    forecasts = forecast(estimate, machines, utilisation)
    if json_:
        stages = [
            {"stage": row.stage.label, "key": row.stage.key, "hit": row.hit, "reasons": list(row.reasons)}
            for row in rows
        ]
        found = {"run_key": made.key if made else None, "unknown": unknown, "stages": stages}
        found |= {"cost": asdict(estimate), "machines": [asdict(own) for own in forecasts], "utilisation": utilisation}
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    _print(rows, unknown, estimate, forecasts, utilisation)


def _print(
    rows: Sequence[Outlook], unknown: str | None, cost: Cost, forecasts: Sequence[Forecast], utilisation: float
) -> None:
    from langxfer.cli.summary import outlook_table, print_cost

    if unknown:
        out.print(f"What is there already cannot be known: {escape(unknown)}", highlight=False, soft_wrap=True)
    else:
        out.print(outlook_table(rows))
    print_cost(cost, out)
    if forecasts:
        _print_forecasts(cost, forecasts, utilisation, out)


def _print_forecasts(cost: Cost, forecasts: Sequence[Forecast], utilisation: float, console: Console) -> None:
    """A column a machine, then what was assumed and what is missing."""
    from langxfer.cli.progress import duration, size

    title = "estimate, if nothing was made before"
    table = Table("", *(own.machine for own in forecasts), title=title, title_justify="left", box=SIMPLE)
    for number, part in enumerate(cost.work):
        table.add_row(escape(part.label), *(duration(own.seconds[number]) for own in forecasts))
    table.add_row("in all", *(duration(own.total_seconds) for own in forecasts))
    table.add_row("GPU hours", *(f"{own.gpu_hours:.1f}" for own in forecasts))
    fits = (
        f"{size(own.memory)} of {size(own.device_memory)}" + ("" if own.fits else ": too much") for own in forecasts
    )
    table.add_row("training takes, at the least", *fits)
    console.print(table)
    for part in cost.not_counted:
        console.print(f"Not counted: {escape(part.label)} ({escape(part.reason)}).", highlight=False, soft_wrap=True)
    for part in cost.work:
        if part.attempts > 1:
            text = (
                f"{part.label}, further attempts (where an answer cannot be read; up to {part.attempts} times as long)"
            )
            console.print(f"Not counted: {escape(text)}.", highlight=False, soft_wrap=True)
    said = [
        *cost.assumptions,
        f"{utilisation:.0%} of the peaks on data sheets, on every GPU (--utilisation)",
        "answers as long as they may be, before training and after it",
        "no time for loading, compiling, starting kernels, communication and judges",
    ]
    console.print(f"Assumed: {escape('; '.join(said))}.", highlight=False, soft_wrap=True)
