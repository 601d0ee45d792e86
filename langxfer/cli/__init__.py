"""The command line: verbs. It prints and decides nothing; data on stdout, progress and messages on stderr.

Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl+C.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from langxfer import loading, plugins
from langxfer.cli.compare import compare
from langxfer.cli.evaluate import evaluate
from langxfer.cli.export import export
from langxfer.cli.options import JsonOption, PluginOption, RecipeArgument, RunsOption, SetOption, err, out
from langxfer.cli.plan import plan
from langxfer.cli.push import push
from langxfer.cli.report import report
from langxfer.cli.sweep import sweep
from langxfer.cli.translate import translate
from langxfer.errors import LangxferError, RecipeError

if TYPE_CHECKING:
    from langxfer.loading import LoadedRecipe
    from langxfer.plugins import Catalog

INTERRUPTED = 130  # the exit code by which shells know it

app = typer.Typer(
    name="langxfer",
    help="Bring an English-centric language model to other languages: translate, train, measure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _load(recipe: str, overrides: list[str] | None, files: list[Path] | None) -> tuple[LoadedRecipe, Catalog]:
    catalog = plugins.load(files or ())
    return loading.load_recipe(recipe, catalog, overrides or ()), catalog


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


@app.command()
def run(
    recipe: RecipeArgument,
    set_: SetOption = None,
    plugin: PluginOption = None,
    runs: RunsOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Do what a recipe says: translate, encode, train, evaluate. What was done before is not done again.

    Example:  langxfer run recipes/clo.yaml --set data.limit=400
    """
    loaded, catalog = _load(recipe, set_, plugin)
    from langxfer.cli.execution import execute
    from langxfer.cli.summary import print_summary, summary_json

    result = execute(loaded, catalog, runs, set_ or ())
    from langxfer.engine.runtime import is_main_process

    if is_main_process():
        _print_json(summary_json(result)) if json_ else print_summary(result, out)


@app.command()
def check(
    recipe: RecipeArgument,
    set_: SetOption = None,
    plugin: PluginOption = None,
    runs: RunsOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Find out all that can be known of a recipe without loading weights.

    Example:  langxfer check recipes/clo.yaml
    """
    loaded, _ = _load(recipe, set_, plugin)
    from langxfer.engine.check import check as look

    findings = look(loaded.recipe, runs)
    problems = [finding for finding in findings if finding.verdict == "problem"]
    if json_:
        _print_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "[green]ok     [/]", "problem": "[red]problem[/]", "unknown": "[yellow]later  [/]"}
        marks["warning"] = "[yellow]warning[/]"
        for finding in findings:
            out.print(
                f"{marks[finding.verdict]}  {finding.subject:<10}  {escape(finding.text)}",
                highlight=False,
                soft_wrap=True,
            )
    if problems:
        raise typer.Exit(2)


@app.command()
def preview(
    recipe: RecipeArgument,
    count: Annotated[int, typer.Option("-n", min=1, help="How many examples to show.")] = 3,
    set_: SetOption = None,
    plugin: PluginOption = None,
    runs: RunsOption = Path("runs"),
    json_: JsonOption = False,
) -> None:
    """Show real examples as the model will see them: tokens, the scored part coloured, and what would be dropped.

    Example:  langxfer preview recipes/clo.yaml -n 2
    """
    loaded, _ = _load(recipe, set_, plugin)
    from langxfer.cli.summary import print_preview
    from langxfer.engine.preview import preview as look

    found = look(loaded.recipe, runs, count)
    _print_json(asdict(found)) if json_ else print_preview(found, out)


app.command()(plan)
app.command()(translate)
app.command()(evaluate)
app.command()(compare)
app.command()(sweep)
app.command()(report)
app.command()(push)
app.command()(export)


@app.command()
def schema(plugin: PluginOption = None) -> None:
    """Print the JSON schema of recipes, with the options of everything that is installed.

    Example:  langxfer schema > langxfer.schema.json
    """
    _print_json(loading.schema(plugins.load(plugin or ())))


@app.command("plugins")
def plugins_(plugin: PluginOption = None, json_: JsonOption = False) -> None:
    """List plugins, the words they add to the recipe language, and why any of them failed to load.

    Example:  langxfer plugins --plugin my_objective.py
    """
    catalog = plugins.load(plugin or ())
    if json_:
        _print_json([asdict(info) for info in catalog.plugins])
        return
    for info in catalog.plugins:
        out.print(
            f"[bold]{escape(info.name)}[/] {escape(info.version or '')}  ({escape(str(info.source))})", highlight=False
        )
        if info.error:
            out.print(f"  [red]failed:[/] {escape(info.error)}", highlight=False, soft_wrap=True)
        for kind, names in info.words.items():
            out.print(f"  {kind}: {', '.join(plugins.grouped(names))}", highlight=False, soft_wrap=True)


@app.command()
def recipes(
    under: Annotated[
        str | None,
        typer.Argument(metavar="FOLDER_OR_NAME", help="List those of a folder, such as paper/llama-3-8b, or one."),
    ] = None,
    plugin: PluginOption = None,
    json_: JsonOption = False,
) -> None:
    """List the registered recipes; of those in folders, how many there are.

    Example:  langxfer recipes paper/llama-3-8b
    """
    catalog = plugins.load(plugin or ())
    start = f"{under.rstrip('/')}/" if under else ""
    names = [name for name in catalog.recipes if name.startswith(start) or name == under]
    if not names:
        known = ", ".join(plugins.grouped(catalog.recipes))
        raise RecipeError(f"no recipe is called {under} or lies in it.  Installed recipes: {known}.")
    if json_:
        _print_json(
            [
                {"name": name, "path": str(catalog.recipes[name][0]), "plugin": catalog.recipes[name][1]}
                for name in names
            ]
        )
        return
    for name in names if under else plugins.grouped(names):
        path = escape(str(catalog.recipes[name][0])) if name in catalog.recipes else ""
        out.print(f"[bold]{escape(name):<20}[/] {path}", highlight=False, soft_wrap=True)


def _stopped() -> NoReturn:
    err.print("stopped; what is finished is kept, and the same command goes on from here")
    sys.exit(INTERRUPTED)


def main() -> None:
    """Entry point: our own errors become sentences and exit codes."""
    try:
        app()
    except LangxferError as error:
        err.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _stopped()
    except SystemExit as done:
        if done.code == INTERRUPTED:  # typer makes this of a KeyboardInterrupt
            _stopped()
        raise
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it closes stdout
        sys.exit(1)
