"""The verb ``sweep``: a recipe and lists of values in, a table of means, curves and crossings out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from langxfer import plugins
from langxfer.cli.execution import observed, plugin_files
from langxfer.cli.options import JsonOption, PluginOption, RunsOption, out
from langxfer.report.quantities import duration, quantity
from langxfer.report.settings import label, short_names, value_text
from langxfer.report.sweep import RESULT, ScoreName
from langxfer.report.tables import format_mean
from langxfer.sweep_loading import load_sweep

if TYPE_CHECKING:
    from langxfer.engine.sweep import Swept
    from langxfer.engine.sweep_plan import SweepPlan
    from langxfer.report.sweep import Crossed, Report

SweepArgument = Annotated[
    str,
    typer.Argument(metavar="RECIPE_OR_SWEEP", help="A recipe (a YAML file or a registered name), or a sweep file."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE,VALUE",
        help="Values of one setting, each with all values of the others; commas in quotes, [] and {} separate none. "
        "seed stands for the training seed of all phases. May be repeated.",
        show_default=False,
    ),
]
PlanOption = Annotated[
    bool, typer.Option("--plan", "--dry-run", help="Show the points, what is there already, and the cost; run none.")
]


def sweep(
    recipe: SweepArgument,
    set_: SetOption = None,
    plan: PlanOption = False,
    plugin: PluginOption = None,
    runs: RunsOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Run a recipe with many values of its settings; average seeds, draw curves, find where methods cross.

    What points share is made once. The same command goes on where it stopped; a point that fails stops no other.

    Example:  langxfer sweep clo --set data.limit=200,400 --set phases[0].objective=clo,sft --set seed=1,2,3
    """
    catalog = plugins.load(plugin or ())
    given = load_sweep(recipe, catalog, set_ or ())
    if plan:
        from langxfer.engine.sweep_plan import plan_sweep

        found = plan_sweep(given, runs)
        _print_json(found.record()) if json_ else _print_plan(found)
        return
    from langxfer.engine.sweep import sweep as execute

    with observed(catalog) as observe:
        swept = execute(given, runs, observe=observe, plugins=plugin_files(catalog))
    from langxfer.engine.runtime import is_main_process

    if is_main_process():
        _print_json(json.loads((swept.path / RESULT).read_text(encoding="utf-8"))) if json_ else _print(swept)
    if swept.failed:
        raise typer.Exit(1)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _print(swept: Swept) -> None:
    print_report(swept.report)
    if swept.failed:
        table = Table("point", "error", title=f"{len(swept.failed)} of {len(swept.results)} points failed", box=SIMPLE)
        for result in swept.failed:
            table.add_row(escape(label(result.point.settings)), escape(result.error or ""))
        out.print(table)
    done = [result.seconds or 0.0 for result in swept.results if result.status == "done"]
    took = f"{len(done)} of {len(swept.results)} points are done; their stages took {duration(sum(done))}."
    out.print(took, highlight=False)
    out.print(f"sweep:  {escape(str(swept.path))}", highlight=False, soft_wrap=True)


def print_report(report: Report) -> None:
    """Means, one table a score, and crossings."""
    for name in dict.fromkeys(cell.name for row in report.rows for cell in row.cells):
        out.print(_means(name, report))
    shown = [own for own in report.crossings if own.largest and own.crossing.place.side != "above"]
    for setting in dict.fromkeys(own.setting for own in shown):
        out.print(_crossings(setting, [own for own in shown if own.setting == setting]))
    for note in report.notes:
        out.print(escape(note), highlight=False, soft_wrap=True)


def _means(name: ScoreName, report: Report) -> Table:
    """One score of all rows."""
    names = short_names(path for row in report.rows for path in row.settings)
    cells = [(row, cell) for row in report.rows for cell in row.cells if cell.name == name]
    unit = cells[0][1].like.unit
    measured = (f"mean{f', {unit}' if unit else ''}", "95 % interval", "allows for", "seeds", "n")
    heads = [*names.values()] or [""]  # a sweep over seeds alone has no settings to tell its rows by
    table = Table(*heads, *measured, title=escape(str(name)), box=SIMPLE)
    for column in table.columns[len(heads) :]:
        column.justify = "right"
    for row, cell in cells:
        own = _values(row.settings, list(names)) if row.settings else [row.label]
        counts = cell.mean.contains, str(cell.mean.seeds), str(cell.mean.n)
        texts = [*own, *[""] * (len(heads) - len(own))]
        table.add_row(*map(escape, texts), *format_mean(cell.mean, cell.like), *counts)
    return table


def _crossings(setting: str, found: Sequence[Crossed]) -> Table:
    """Where methods have the level that others have at their largest."""
    title = f"{setting} at which a method has the level of another"
    table = Table("score", "method", "has it at", "95 % interval", "level of", "at", title=escape(title), box=SIMPLE)
    for own in found:
        crossing = own.crossing
        interval = f"{crossing.low} to {crossing.high}" + (" (items alone)" if crossing.seeds == 1 else "")
        places = escape(crossing.method), str(crossing.place), interval, escape(crossing.other), f"{crossing.at:,g}"
        table.add_row(escape(str(ScoreName(own.evaluator, own.score))), *places)
    return table


def _values(settings: Mapping[str, Any], paths: Sequence[str]) -> list[str]:
    return [value_text(settings[path]) if path in settings else "" for path in paths]


def _print_plan(found: SweepPlan) -> None:
    names = short_names(path for point in found.points for path in point.settings)
    table = Table("", *names.values(), "there", "to make", "examples", "steps", "FLOP", box=SIMPLE)
    for number, point in enumerate(found.points, 1):
        own = _values(point.settings, list(names))
        made = ", ".join(point.to_make) or "nothing"
        steps = " + ".join(map(str, point.cost.steps))
        flops = quantity(point.flops, "") if point.cost.uncounted is None else "not counted"
        table.add_row(
            str(number), *map(escape, own), str(point.hits), escape(made), str(point.cost.examples), steps, flops
        )
    out.print(table)
    stages = sum(len(point.to_make) for point in found.points)
    text = f"{len(found.points)} points, {stages} stages to make, {quantity(found.flops, 'FLOP')} at the most"
    if found.least_seconds is not None:
        text += f", {duration(found.least_seconds)} of them at the matmul rate measured here"
    out.print(f"{text}. Evaluation is not counted.", highlight=False, soft_wrap=True)
    uncounted = next((point.cost.uncounted for point in found.points if point.cost.uncounted), None)
    if uncounted:
        out.print(f"FLOPs not counted: {escape(uncounted)}", highlight=False, soft_wrap=True)
