"""The verb ``report``: a folder in, one HTML page out, with its figures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from langxfer.cli.options import err
from langxfer.errors import RecipeError
from langxfer.report.html.writing import write_report

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
    try:
        path = write_report(*folders, path=output)
    except OSError as error:
        raise RecipeError(f"{output or folders[0]}: the report cannot be written: {error.strerror}.") from None
    err.print(f"report:  {escape(str(path))}", highlight=False, soft_wrap=True)
