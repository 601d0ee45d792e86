"""The verb ``report``: a folder in, one HTML page out, with its figures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from langxfer.cli.options import err
from langxfer.errors import RecipeError
from langxfer.report.sweep import RESULT

FoldersArgument = Annotated[
    list[Path],
    typer.Argument(metavar="FOLDER...", help="A run, an evaluation or a sweep; or several runs, which are compared."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="The page; report.html in the folder, if left out.", show_default=False
    ),
]


def report(folders: FoldersArgument, output: OutputOption = None) -> None:
    """Make the HTML report of a run, an evaluation or a sweep (again), or one of several runs beside each other.

    Example:  langxfer report runs/my-run-0123456789 -o my-run.html
    """
    from langxfer.report.html import writing

    if output is None and len(folders) > 1:
        raise RecipeError("several runs have no folder in common: say with -o FILE.html where their report goes.")
    path = output or folders[0] / writing.REPORT
    try:
        _write(folders, path)
    except OSError as error:
        raise RecipeError(f"{path} cannot be written: {error.strerror}.") from None
    err.print(f"report:  {escape(str(path))}", highlight=False, soft_wrap=True)


def _write(folders: list[Path], path: Path) -> None:
    from langxfer.report.compare_runs import compare_runs
    from langxfer.report.finished import read_finished
    from langxfer.report.html import writing

    if len(folders) > 1:
        writing.write_methods_report(compare_runs(folders), path)
    elif (folders[0] / RESULT).is_file():
        writing.write_sweep_report(folders[0], path)
    else:
        writing.write_run_report(read_finished(folders[0]), path)
