"""Measuring from Python what ``langxfer evaluate`` measures on the command line: one function for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from langxfer import loading, plugins
from langxfer.components import Evaluator
from langxfer.errors import RecipeError
from langxfer.recipe import Compute, Evaluating, Model, Recipe

if TYPE_CHECKING:
    from langxfer.engine.evaluation_job import Evaluated
    from langxfer.engine.measured import Measured
    from langxfer.events import Event
    from langxfer.plugins import Catalog


def evaluate(
    model: str | Path | Model,
    what: str | Path | Recipe | Evaluator | Sequence[str | Evaluator],
    *,
    before: bool = False,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    compute: Compute | None = None,
    catalog: Catalog | None = None,
    runs: Path | str = "runs",
    observe: Callable[[Event], None] = lambda event: None,
) -> Evaluated:
    """Measure a model; what was measured or answered before is not asked again.

    Args:
        model: a run folder, or what recipes take as ``model.source``; as ``Model`` with template, precision, ….
        what: evaluators, names of evaluators (in a list, or with commas), or a recipe, whose evaluators are taken, and
            whose validation examples they may use: a file, the name of an installed one, or a ``Recipe``.
        before: of a run folder, measure the model that training started from.
        limit: the option of that name of all evaluators that have it; a notice names the others.
        overrides: ``path=value`` as given to ``--set``, for names and for a recipe's file; not for components.
        compute: where and how fast; None for the recipe's.
        catalog: where names are looked up; None for all that is installed.
        runs: where the evaluation's folder and shared artifacts go.
        observe: called with every event, on the main process; ``catalog.emit`` tells the observers of plugins.

    Raises:
        RecipeError, DataError: the model, the data, or an evaluator's files are not what is needed. All problems of
            evaluators are told at once, before anything is computed.
        PluginError: what a plugin gives is not what is expected of it.
        StageError: a stage failed; what was finished is kept, and the next call goes on there.
        ArtifactError: something cannot be stored.
    """
    measured = _measured(model, before)
    evaluating, recipe = _wanted(what, measured.options, catalog or plugins.load(), overrides, limit)
    if compute is not None:
        evaluating = evaluating.model_copy(update={"compute": compute})
        recipe = recipe and recipe.model_copy(update={"compute": compute})
    from langxfer.engine.evaluation_job import Request, evaluate_model

    whole = loading.unlimited(evaluating.evaluators) if limit is not None else []
    notes = (f"--limit {limit}: measured in full, having no such option: {', '.join(whole)}",) if whole else ()
    return evaluate_model(Request(evaluating, measured, recipe, Path(runs), notes), observe)


def _measured(model: str | Path | Model, before: bool) -> Measured:
    from langxfer.engine.measured import find_measured

    if not isinstance(model, Model):
        return find_measured(str(model), before)
    found = find_measured(model.source, before)
    own = {name: getattr(model, name) for name in model.model_fields_set if name != "source"}
    return replace(found, options={**found.options, **own})


def _wanted(
    what: str | Path | Recipe | Evaluator | Sequence[str | Evaluator],
    model: Mapping[str, Any],
    catalog: Catalog,
    overrides: Sequence[str],
    limit: int | None,
) -> tuple[Evaluating, Recipe | None]:
    """The evaluators, and the recipe that they are from, if any."""
    if isinstance(what, str | Path):
        return loading.load_evaluating(str(what), model, catalog, overrides, limit)
    parts = [what] if isinstance(what, Evaluator | Recipe) else list(what)
    if not parts:
        raise RecipeError("there are no evaluators to measure with. Give one at least.")
    if overrides:
        names = [str(part) for part in parts if isinstance(part, str | Path)]
        if len(names) == len(parts):
            return loading.load_evaluating(",".join(names), model, catalog, overrides, limit)
        raise RecipeError(f"overrides {', '.join(overrides)}: only for names and files. Set the components' options.")
    if isinstance(what, Recipe):
        return loading.evaluating_of(what.resolved(Path.cwd()), model, limit)
    evaluators: list[Evaluator] = []
    for part in parts:
        if isinstance(part, Evaluator):
            evaluators.append(part.resolve(Path.cwd()))
        else:
            evaluators += loading.load_evaluating(str(part), model, catalog)[0].evaluators
    try:
        found = Evaluating(model=Model.model_validate(model), evaluators=tuple(evaluators))
    except ValidationError as error:
        raise RecipeError(f"{own['msg'].removeprefix('Value error, ')}." for own in error.errors()) from None
    return loading.limited(found, limit), None
