"""All that can be known of a recipe without loading weights: no torch, about a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal

from langxfer import records
from langxfer.engine import models, plan, preflight, sources, tracking
from langxfer.engine.selection import advice, chosen
from langxfer.engine.store import Store
from langxfer.engine.template import load_template
from langxfer.errors import ArtifactError, LangxferError
from langxfer.recipe import Phase, Recipe

LARGE = 64 << 20  # bytes; larger files are not read whole by a check
NEEDED = ("data", "model")  # without them nothing can be said of references


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``unknown`` means that it cannot be known before model or data are read."""

    verdict: Literal["ok", "warning", "problem", "unknown"]
    subject: str
    text: str


def check(recipe: Recipe, runs: Path) -> list[Finding]:
    """Look at everything, and go on after a problem. The recipe's paths must be resolved.

    Raises:
        ArtifactError: ``runs`` cannot be a folder.
    """
    store = Store(runs / "artifacts")
    findings = [
        *_attempt("data", lambda: _data(recipe)),
        *_attempt("translator", lambda: _translator(recipe)),
        *_attempt("model", lambda: _model(recipe)),
        *_attempt("selector", lambda: _selectors(recipe)),
        *_attempt("evaluators", lambda: _evaluators(recipe)),
    ]
    if not any(finding.verdict == "problem" and finding.subject in NEEDED for finding in findings):
        said = {finding.text for finding in findings}  # the plan asks all of them once more
        findings += [own for own in _attempt("reference", lambda: _reference(recipe, store)) if own.text not in said]
    return [*findings, *_attempt("tracking", lambda: _tracking(recipe)), *_attempt("device", lambda: _device(recipe))]


def _attempt(subject: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look())
    except ArtifactError as error:  # a hub that does not answer, for instance: the recipe may be right
        found.append(Finding("unknown", subject, str(error)))
    except LangxferError as error:
        found.append(Finding("problem", subject, str(error)))
    return found


def _data(recipe: Recipe) -> Iterator[Finding]:
    data = recipe.data
    path = sources.locate(data)
    sources.check_options(data, path)
    if path is None:
        yield Finding("unknown", "data", f"{data.source} is a hub dataset: it is read when the run starts")
        return
    if path.suffix.lower() == ".parquet":
        rows = records.parquet_size(path)
        yield Finding("unknown", "data", f"{path.name} has {rows:,} rows; the run sees which of them can be used")
        return
    if path.stat().st_size > LARGE:
        text = f"{path.name} is there ({path.stat().st_size:,} bytes); its rows are read by the run"
        yield Finding("unknown", "data", text)
        return
    rows, rejected = sources.read(data)
    train, validation = sources.split(rows, data)
    text = f"{path.name}: {len(rows)} usable rows, {len(train)} to train on, {len(validation)} to validate with"
    yield Finding("ok", "data", text + (f"; {len(rejected)} cannot be used" if rejected else ""))


def _translator(recipe: Recipe) -> Iterator[Finding]:
    data = recipe.data
    pairs = ", ".join(f"{data.source_language}-{tag}" for tag in data.target_languages)
    if recipe.translator is None:
        yield Finding("ok", "translator", f"none needed: the data is parallel ({pairs})")
        return
    recipe.translator.what()  # digests of its files, which must be there
    known = recipe.translator.languages() is not None
    yield Finding(
        "ok", "translator", f"{recipe.translator.name}: {pairs}" + ("" if known else ", as far as its data go")
    )


def _model(recipe: Recipe) -> Iterator[Finding]:
    models.identify(recipe.model)
    folder = models.local_folder(recipe.model)
    if folder is None:
        local = Path(recipe.model.source).is_file()  # a .gguf file: identify has seen that it is one
        state, then = ("is a GGUF file", "converted") if local else ("is not in the cache", "fetched")
        text = f"{recipe.model.source} {state}; template and selectors are checked when the run has {then} it"
        yield Finding("unknown", "model", text)
        return
    yield Finding("ok", "model", recipe.model.source)
    yield from _attempt("template", lambda: _template(recipe, folder))
    shapes = models.stored_shapes(folder)
    if not shapes:
        yield Finding("unknown", "selector", "the weights are not in the cache yet")
        return
    for number, phase in enumerate(recipe.phases):
        yield from _attempt("selector", lambda n=number, p=phase: _selector(n, p, shapes))


def _template(recipe: Recipe, folder: Path) -> Iterator[Finding]:
    template = load_template(recipe.model, folder)
    template.try_out()
    yield Finding(
        "ok", "template", "the tokenizer's own" if template.name == "tokenizer" else f"built-in {template.name}"
    )


def _selector(number: int, phase: Phase, shapes: dict[str, tuple[int, ...]]) -> Iterator[Finding]:
    """What a selector trains of a model, by the names in its files."""
    selector = phase.selector
    after = selector.adapted(shapes)
    names = chosen(selector, after)
    trained, every = (sum(prod(after[name]) for name in own) for own in (names, after))
    text = f"phases[{number}] {selector.name}: {len(names)} of {len(after)} tensors, {trained:,} parameters"
    modules = sorted({name.rpartition(".")[0] for name in shapes.keys() - after.keys()})
    kinds = sorted({".".join("*" if part.isdecimal() else part for part in name.split(".")) for name in modules})
    adapts = f"; adapts {len(modules)} modules: {', '.join(kinds)}" if modules else ""
    yield Finding("ok", "selector", f"{text}, {trained / every:.1%} of the parameters{adapts}")


def _selectors(recipe: Recipe) -> Iterator[Finding]:
    """What can be said of selectors without a model."""
    for phase in recipe.phases:
        phase.selector.what()  # libraries that it needs
    yield from (Finding("warning", "selector", sentence) for sentence in advice(recipe))


def _evaluators(recipe: Recipe) -> Iterator[Finding]:
    examples = preflight.stand_ins(recipe.data)
    for evaluator in recipe.evaluators:
        problem = preflight.problem_of(evaluator, examples)
        if problem is None:
            yield Finding("ok", "evaluators", evaluator.name)
        else:
            verdict = "unknown" if isinstance(problem, ArtifactError) else "problem"
            yield Finding(verdict, "evaluators", str(problem))


def _reference(recipe: Recipe, store: Store) -> Iterator[Finding]:
    for number, phase in enumerate(plan.build(recipe).phases):
        name = f"phases[{number}] {phase.phase.objective.name}"
        if phase.reference is None:
            yield Finding("ok", "reference", f"{name} needs none")
        elif store.find("reference", phase.reference.key, verify=False):
            yield Finding("ok", "reference", f"{name}: in the store already")
        else:
            yield Finding("ok", "reference", f"{name}: made from the model at the phase's start")


def _device(recipe: Recipe) -> Iterator[Finding]:
    """Where people check a recipe there often is no accelerator; where it runs there has to be one."""
    if recipe.compute.device == "cuda":
        import torch

        if torch.cuda.is_available():
            yield Finding("ok", "device", "cuda")
        else:
            yield Finding("unknown", "device", "torch sees no CUDA device here, and the run needs one")


def _tracking(recipe: Recipe) -> Iterator[Finding]:
    tracking.require(recipe.tracking)
    if recipe.tracking.trackers:
        yield Finding("ok", "tracking", f"{', '.join(recipe.tracking.trackers)}: project {recipe.tracking.project}")
