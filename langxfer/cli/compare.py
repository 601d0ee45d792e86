"""The verb ``compare``: runs, evaluations and recipes in, tables with tested differences out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from langxfer import loading, plugins
from langxfer.cli.options import PluginOption, RunsOption, err, out
from langxfer.errors import LangxferError, RecipeError
from langxfer.report.compare_runs import check_asked, check_several, compare_runs
from langxfer.report.finished import read_finished
from langxfer.report.html.writing import write_methods_report
from langxfer.report.method_formats import FORMATS, HTML, SUFFIXES
from langxfer.report.recipe_differences import in_words

if TYPE_CHECKING:
    from langxfer.loading import LoadedRecipe
    from langxfer.report.methods import ComparedRuns, MethodTable
    from langxfer.report.recipe_differences import Difference

DIFFERENCE = "difference"
Format = Enum("Format", {name: name for name in FORMATS}, type=str)

RunArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Folders of runs or of evaluations, or recipes (files, registered names), which are run where they "
        "have not been.",
    ),
]
BaselineOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME_OR_NUMBER",
        help="What the others are compared with: a title, a folder's name, a number from 1, or before. The first one, "
        "unless it is given.",
        show_default=False,
    ),
]
BeforeOption = Annotated[
    bool | None,
    typer.Option(
        "--before/--no-before",
        help="A row for the model before training. There is one if all runs start from the same.",
        show_default=False,
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Scores to show, such as 'belebele/*'; may be repeated. Tests are corrected for what is shown.",
        show_default=False,
    ),
]
PublishedOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Numbers of others (.yaml, .csv), shown beside and not tested."),
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Of what is printed on stdout; tables for people if left out.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write to a file: .md, .csv, .tex, .json or .html.", show_default=False
    ),
]


def compare(
    arguments: RunArguments,
    baseline: BaselineOption = None,
    before: BeforeOption = None,
    only: OnlyOption = None,
    published: PublishedOption = None,
    format_: FormatOption = None,
    output: OutputOption = None,
    plugin: PluginOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Compare runs: in what they differ, and each score against the baseline's, tested on the same items.

    Example:  langxfer compare recipes/sft.yaml recipes/clo.yaml --only 'belebele/*' -o table.tex
    """
    style = _style(format_, output)
    check_several(arguments)
    if output is not None:
        _check_writable(output)
    asked = lambda *names: check_asked(len(arguments), *names, baseline, before, published)  # noqa: E731
    folders = _folders(arguments, plugin, runs, asked)
    from langxfer.engine.runtime import is_main_process

    if not is_main_process():
        return
    found = compare_runs(folders, baseline=baseline, before=before, published=published, only=only or ())
    if style is None:
        print_comparison(found, out)
        return
    err.print(escape(found.differences.verdict), highlight=False, soft_wrap=True)
    if output is None:
        print(FORMATS[style](found), end="")
        return
    try:
        if style == HTML:
            write_methods_report(found, output)
        else:
            output.write_text(FORMATS[style](found), encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"-o {output} cannot be written: {error.strerror}.") from None
    err.print(f"written: {escape(str(output))}", highlight=False, soft_wrap=True)


def _style(format_: Format | None, output: Path | None) -> str | None:
    """The name of a format; None for tables on the terminal."""
    if output is None:
        return format_.value if format_ else None
    if format_ is None and output.suffix not in SUFFIXES:
        raise RecipeError(f"-o {output}: expected a name that ends in {', '.join(SUFFIXES)}, or a --format.")
    return format_.value if format_ else SUFFIXES[output.suffix]


def _check_writable(output: Path) -> None:
    """See that a file can be written there, before recipes are run. Until then what is there stays as it is."""
    if output.is_dir():
        raise RecipeError(f"-o {output} cannot be written: it is a folder. Name a file.")
    if not output.parent.is_dir():
        raise RecipeError(f"-o {output} cannot be written: there is no folder {output.parent}. Make it first.")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise RecipeError(f"-o {output} cannot be written: permission denied. Choose another place.")


def _folders(
    arguments: Sequence[str],
    plugin: Sequence[Path] | None,
    runs: Path,
    check: Callable[[Sequence[str], Sequence[str]], None],
) -> list[Path]:
    """What is no folder is a recipe. All of them are looked at, and titles and folders checked, before one is run."""
    given = [None if Path(argument).is_dir() else argument for argument in arguments]
    catalog = plugins.load(plugin or ())
    loaded = [name and loading.load_recipe(name, catalog) for name in given]
    if not any(loaded):
        return [Path(argument) for argument in arguments]
    from langxfer.cli.execution import execute

    there = [read_finished(Path(argument)) for argument, own in zip(arguments, loaded, strict=True) if not own]
    recipes = {name: own for name, own in zip(arguments, loaded, strict=True) if own}
    folders = [*(run.path.resolve().name for run in there), *_foreseen(recipes, runs)]
    check([*(run.title for run in there), *(own.recipe.title for own in recipes.values())], folders)
    return [
        execute(own, catalog, runs).path if own else Path(argument)
        for argument, own in zip(arguments, loaded, strict=True)
    ]


def _foreseen(recipes: Mapping[str, LoadedRecipe], runs: Path) -> list[str]:
    """The folders of the recipes' runs; what is wrong with any of them is said before hours go into another."""
    from langxfer.engine.run import foresee

    found, problems = [], []
    for name, own in recipes.items():
        try:
            found.append(foresee(own.recipe, runs).folder)
        except LangxferError as error:
            problems += [f"{name}  {sentence}" for sentence in str(error).splitlines()]
    if problems:
        raise RecipeError(problems)
    return found


def print_comparison(found: ComparedRuns, console: Console) -> None:
    """Tables for people."""
    differences = found.differences
    console.print(escape(differences.verdict), style="bold", highlight=False)
    for warning in differences.warnings:
        console.print(f"[yellow]warning[/]  {escape(warning)}", highlight=False)
    if differences.rows:
        console.print(_differences("in what the recipes differ", differences.names, differences.rows))
    if differences.apart:
        console.print(_differences("and what changes no score that is compared", differences.names, differences.apart))
    for table in found.tables:
        for part in _tables(table, console.width):
            console.print(part)
    console.print(escape(found.tests), highlight=False)
    for note in found.notes:
        console.print(f"[yellow]note[/]  {escape(note)}", highlight=False)


def _differences(title: str, names: Sequence[str], rows: Sequence[Difference]) -> Table:
    table = Table("path", *map(escape, names), title=title, box=SIMPLE)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(escape(row.path), *(escape(in_words(value)) for value in row.values))
    return table


def _tables(found: MethodTable, width: int) -> Iterator[Table]:
    """Differences stand beside the values where there is room, else below them, in as many tables as are needed."""
    rows = [row for measure in found.measures for row in measure.rows]
    cells = [cell for row in rows for cell in row.cells.values()]
    first = max(*(len(row.method) + 4 for row in rows), *(len(measure.heading) + 2 for measure in found.measures))
    value, change = (
        max(len(text) for text in own) + 2 for own in zip(*((c.value, c.change) for c in cells), strict=True)
    )
    if first + len(found.columns) * (value + max(change, len(DIFFERENCE) + 2)) <= width:
        yield _table(found, found.columns, beside=True)
        return
    fitting = max(1, (width - first) // max(value, change))
    for start in range(0, len(found.columns), fitting):
        yield _table(found, found.columns[start : start + fitting], beside=False)


def _table(found: MethodTable, columns: Sequence[str], *, beside: bool) -> Table:
    table = Table("", title=escape(found.title), box=SIMPLE)
    for name in columns:
        for head in (escape(name), DIFFERENCE) if beside else (escape(name),):
            table.add_column(head, justify="right", no_wrap=True)
    for measure in found.measures:
        table.add_section()
        table.add_row(f"[italic]{escape(measure.heading)}[/]")
        for row in measure.rows:
            texts = [(cell.value, cell.change) if cell else ("", "") for cell in map(row.cells.get, columns)]
            shown = [part for both in texts for part in both] if beside else ["\n".join(both) for both in texts]
            table.add_row(f"  {escape(row.method)}", *map(escape, shown))
    return table
