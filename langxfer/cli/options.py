"""What the verbs share: consoles, and options that mean the same everywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

WIDE = 160  # columns of tables that go into a file or a pipe
out, err = Console(width=None if sys.stdout.isatty() else WIDE), Console(stderr=True)

RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a registered recipe.")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Change one value of the recipe; may be repeated.", show_default=False
    ),
]
PluginOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", metavar="FILE", help="Load a plugin from a Python file; may be repeated.", show_default=False
    ),
]
RunsOption = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help="Where run folders and shared artifacts are kept.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for programs.")]
