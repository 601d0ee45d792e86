"""Writes docs/reference.md from the code:  python docs/make_reference.py   (a test compares the two)."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from textwrap import indent
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel

import langxfer
from langxfer import cli, hookspecs, plugins, recipe, sweep_loading, testing
from langxfer.components import KINDS, Component

TARGET = Path(__file__).with_name("reference.md")
SECTIONS = (
    *(recipe.Recipe, recipe.Model, recipe.Data, recipe.Fields, recipe.Quality, recipe.Phase, recipe.Training),
    *(recipe.Compute, recipe.Tracking),
)

FUNCTIONS = (
    *("load_plugins", "load_recipe", "plan", "run", "evaluate", "compare_runs", "load_sweep", "sweep"),
    "write_report",
)


# What plugins give and get, beside the kinds of components that they subclass.
VALUES = (
    *("Pair", "OpenTranslator", "Translation", "Drop", "LogProbs", "Terms", "Term", "Ratio", "View", "Side"),
    *("ParallelExample", "Turn", "Prompt", "Sampling", "Question", "Passage", "MismatchedView", "Evidence"),
    *("Generation", "OptionScores", "PassageScore", "ResponseScore", "Evaluation", "Score", "Workload"),
    *("Contest", "OpenJudge", "Verdict"),
)


def text() -> str:
    """The whole page."""
    catalog = plugins.load()
    parts = ["# Reference", "", "Made by `docs/make_reference.py`; do not edit.", "", "## Verbs", ""]
    for command in typer.main.get_command(cli.app).commands.values():  # type: ignore[attr-defined]
        parts += [f"### `langxfer {command.name}`", "", *_verb(command), ""]
    parts += ["Exit codes: 0 done, 1 failed, 2 bad input, 130 stopped by Ctrl+C.", "", "## Sections of a recipe", ""]
    for section in SECTIONS:
        parts += [f"### {section.__name__}", "", _first(section), "", *_options(section), ""]
    parts += ["## Sections of a sweep file", ""]
    for section in (sweep_loading.SweepFile, sweep_loading.ListedPoint):
        parts += [f"### {section.__name__}", "", _first(section), "", *_options(section), ""]
    parts += ["## Components", "", "Write `name:` and options, or the bare name for default options.", ""]
    for kind in KINDS:
        for name, cls in catalog.classes(kind.kind).items():
            parts += [f"### {kind.kind} `{name}`", "", inspect.cleandoc(cls.__doc__ or ""), "", *_options(cls), ""]
            for inner in _inner(cls):
                parts += [f"#### {inner.__name__}", "", _first(inner), "", *_options(inner), ""]
    parts += ["## From Python", ""]
    for name in FUNCTIONS:
        function = getattr(langxfer, name)
        parts += [f"### `langxfer.{name}`", "", "```text", f"{name}({_parameters(function)})", ""]
        parts += [inspect.cleandoc(function.__doc__ or ""), "```", ""]
    parts += ["## For plugins", "", "Kinds of components, with what a subclass may or has to define; then values.", ""]
    for cls in (*KINDS, *(getattr(langxfer, name) for name in VALUES)):
        parts += [f"### `langxfer.{cls.__name__}`", "", "```text", *_class(cls), "```", ""]
    for name in filter(lambda name: name.startswith("check_"), testing.__all__):
        function = getattr(testing, name)
        parts += [f"### `langxfer.testing.{name}`", "", "```text", f"{name}({_parameters(function)})", ""]
        parts += [inspect.cleandoc(function.__doc__ or ""), "```", ""]
    parts += ["## Hooks", ""]
    for name, hook in vars(hookspecs).items():
        if hasattr(hook, "langxfer_spec"):
            parts += [f"### `{name}{inspect.signature(hook)}`", "", inspect.cleandoc(hook.__doc__ or ""), ""]
    return "\n".join(parts).rstrip() + "\n"


def _verb(command: Any) -> list[str]:
    lines = [inspect.cleandoc(command.help or "").replace("Example:  ", "Example: `") + "`", ""]
    lines += ["| option | meaning |", "|---|---|"]
    for option in command.params:
        names = ", ".join(
            f"`{name}`"
            for name in (
                [*option.opts, *option.secondary_opts]
                if option.param_type_name == "option"
                else [option.metavar or option.name.upper()]
            )
        )
        lines.append(f"| {names} | {getattr(option, 'help', None) or ''} |")
    return lines


def _class(cls: type) -> list[str]:
    """What it is, and its methods: those without an underscore that it has itself, and not from pydantic."""
    lines = [inspect.cleandoc(cls.__doc__ or "")]
    if is_dataclass(cls):
        lines = [f"{cls.__name__}({', '.join(own.name for own in fields(cls))})", "", *lines]
    for name, own in vars(cls).items():
        function = own.func if isinstance(own, cached_property) else own.fget if isinstance(own, property) else own
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        needed = " (required)" if getattr(function, "__isabstractmethod__", False) else ""
        call = name if function is not own else f"{name}({_parameters(function)})"
        about = inspect.cleandoc(function.__doc__ or "")
        lines += ["", f"{call}{needed}", *indent(about, "    ").splitlines()]
    return lines


def _parameters(function: Any) -> str:
    """Names alone: what they are is said below them."""
    found = [own for own in inspect.signature(function).parameters.values() if own.name != "self"]
    named = [parameter.name for parameter in found if parameter.kind is parameter.KEYWORD_ONLY]
    others = [parameter for parameter in found if parameter.kind is not parameter.KEYWORD_ONLY]
    several = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in others)
    shown = [f"*{own.name}" if own.kind is own.VAR_POSITIONAL else own.name for own in others]
    return ", ".join([*shown, *(["*"] if named and not several else []), *named])


def _first(cls: type[BaseModel]) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _options(cls: type[BaseModel]) -> list[str]:
    rows = []
    for name, info in cls.model_fields.items():
        if name == "name" and issubclass(cls, Component):  # it is the heading
            continue
        default = "required" if info.is_required() else f"`{_default(info.get_default(call_default_factory=True))}`"
        kind, meaning = _kind(info.annotation), info.description or ""
        rows.append(f"| `{info.alias or name}` | {kind} | {default} | {meaning} |")
    return ["| option | type | default | meaning |", "|---|---|---|---|", *rows] if rows else ["No options."]


def _kind(annotation: Any) -> str:
    """A type as people write it, without modules and without what narrows it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin is Union or origin is UnionType:
        return " or ".join(map(_kind, inner))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, inner))}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if own is ... else _kind(own) for own in inner)}]"
    return "None" if annotation is NoneType else str(getattr(annotation, "__name__", annotation))


def _inner(cls: type[BaseModel]) -> list[type[BaseModel]]:
    """Sections that options of a component hold."""
    found: list[type[BaseModel]] = []
    waiting = [info.annotation for info in cls.model_fields.values()]
    while waiting:
        annotation = waiting.pop(0)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not issubclass(annotation, Component):
            found.append(annotation)
        waiting += get_args(annotation)
    return found


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "{}"
    return json.dumps(value, ensure_ascii=False, default=sorted)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
