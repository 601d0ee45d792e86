"""Finds out what evaluators lack before anything is computed: their files are read, and they are asked for requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from langxfer.components import Evaluator
from langxfer.data import ParallelExample, Turn
from langxfer.engine.models import local_folder, stored_shapes
from langxfer.engine.plan import Stage
from langxfer.engine.selection import chosen
from langxfer.engine.store import Store
from langxfer.engine.template import load_template
from langxfer.errors import DataError, LangxferError, RecipeError
from langxfer.recipe import Data, Recipe

if TYPE_CHECKING:
    from langxfer.engine.runtime import Runtime


def stand_ins(data: Data) -> list[ParallelExample]:
    """As many examples as are held out, in their languages: there is no translation yet."""
    source = data.source_language
    return [
        ParallelExample(
            f"{number}/{tag}", Turn(f"prompt {number}", "response", source), Turn("prompt", "response", tag)
        )
        for number in range(data.validation)
        for tag in data.target_languages
    ]


def check_files(evaluators: Sequence[Evaluator], examples: Sequence[ParallelExample], runtime: Runtime) -> None:
    """See that each evaluator can say what it is. If one cannot, all that is wrong with any of them is said.

    Raises:
        LangxferError: a file is missing or wrong, a package is missing, …
    """
    _agree(lambda: _problems(evaluators, examples) if _problems(evaluators, None) else [], runtime)


def check_requests(
    stages: Iterable[tuple[Evaluator, Stage]], store: Store, examples: Sequence[ParallelExample], runtime: Runtime
) -> None:
    """See that each evaluator can be asked, which reads all of its files, unless all of its stages are finished.

    Raises:
        LangxferError: as above, with all that is wrong.
    """
    _agree(lambda: _problems(_unfinished(stages, store), examples), runtime)


def check_model(recipe: Recipe) -> None:
    """See that a model that lies here has a template, and parameters for each selector: hours go by before training.

    An exception that a selector did not raise on purpose is told with its stage, if it comes again.

    Raises:
        LangxferError: it has no template or one that cannot be used, or a selector chooses nothing of it.
    """
    folder = local_folder(recipe.model)
    if folder is None:
        return
    load_template(recipe.model, folder).try_out()
    shapes = stored_shapes(folder)
    for phase in recipe.phases if shapes else ():
        try:
            chosen(phase.selector, phase.selector.adapted(shapes))
        except LangxferError:
            raise
        except Exception:
            continue


def problem_of(evaluator: Evaluator, examples: Sequence[ParallelExample] | None) -> LangxferError | None:
    """Why an evaluator cannot say what it is or, given examples, cannot be asked; None where nothing is wrong.

    Of what it raises when it is asked, errors that langxfer raises on purpose count. Another one may be due to examples
    that are not the real ones, and is told with its stage if it comes again.
    """
    try:
        evaluator.what()
        if examples is not None:
            _ask(evaluator, examples)
    except LangxferError as error:
        return error
    return None


def _ask(evaluator: Evaluator, examples: Sequence[ParallelExample]) -> None:
    if evaluator.scored_views() and not examples:
        raise RecipeError(
            f"{evaluator.name}: needs validation examples, and there are none. Set data.validation; where evaluators "
            "are named without a recipe, give one instead, such as the filled.yaml of a run folder."
        )
    try:
        evaluator.sampling()
        for ask in (evaluator.prompts, evaluator.questions, evaluator.passages):
            for _ in ask(examples):
                pass
    except LangxferError:
        raise
    except Exception:
        return


def _unfinished(stages: Iterable[tuple[Evaluator, Stage]], store: Store) -> list[Evaluator]:
    found: list[Evaluator] = []
    for evaluator, stage in stages:
        artifact = store.find(stage.name, stage.key, verify=False)
        if (artifact is None or artifact.unfinished) and evaluator not in found:
            found.append(evaluator)
    return found


def _problems(
    evaluators: Iterable[Evaluator], examples: Sequence[ParallelExample] | None
) -> list[tuple[str, LangxferError]]:
    found = [(evaluator.name, problem_of(evaluator, examples)) for evaluator in evaluators]
    return [(name, problem) for name, problem in found if problem is not None]


def _agree(find: Callable[[], list[tuple[str, LangxferError]]], runtime: Runtime) -> None:
    """Raise in all processes what the main one finds."""
    found = runtime.decide(find() if runtime.main else None)
    if not found:
        return
    texts = [str(error) if str(error).startswith(name) else f"{name}: {error}" for name, error in found]
    kinds = {type(error) for _, error in found}
    raise (kinds.pop() if len(kinds) == 1 else DataError)("\n".join(dict.fromkeys(texts)))
