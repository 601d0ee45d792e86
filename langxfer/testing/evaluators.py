"""What the engine relies on in evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from langxfer.components import (
    Evaluation,
    Evaluator,
    Evidence,
    Generation,
    OptionScores,
    Passage,
    PassageScore,
    Prompt,
    Question,
    ResponseScore,
    Sampling,
)
from langxfer.data import ParallelExample, Side, View
from langxfer.engine.evaluator_contract import sound
from langxfer.errors import LangxferError
from langxfer.languages import check_language
from langxfer.testing.contracts import check_component, require
from langxfer.testing.fakes import parallel_examples

# More attempts than anybody means to make: one who asks this often never stops.
MOST_ROUNDS = 50


def check_evaluator(evaluator: Evaluator, examples: Sequence[ParallelExample] = ()) -> None:
    """It asks for prompts, questions, passages and views, and turns answers of all sorts into scores and rows.

    Prompts that it wants answered again are answered until it is content. Without examples it does all that too, or
    says in a ``LangxferError`` what it lacks.
    """
    check_component(evaluator, Evaluator)
    own = list(examples) or parallel_examples()
    _check_asked(evaluator, own)
    with suppress(LangxferError):
        _check_asked(evaluator, [])
    sampling = evaluator.sampling()
    fine = isinstance(sampling, Sampling) and sampling.max_new_tokens > 0 and sampling.temperature >= 0
    require(fine and 0 < sampling.top_p <= 1, f"sampling gives {sampling}")


def _check_asked(evaluator: Evaluator, examples: Sequence[ParallelExample]) -> None:
    prompts = _requests("prompts", Prompt, evaluator.prompts, examples)
    questions = _requests("questions", Question, evaluator.questions, examples)
    passages = _requests("passages", Passage, evaluator.passages, examples)
    for tag in {asked.language for asked in (*prompts, *passages)}:
        check_language(tag)
    require(all(prompt.attempt == 0 for prompt in prompts), "prompts gives a prompt that is not its first attempt")
    for question in questions:
        empty = not question.options or not all(question.options)
        require(not empty, f"question {question.id} has no options, or an empty one: {question.options}")
    answers: tuple[Callable[[str], str], ...] = (
        str,
        lambda text: "",
        lambda text: text[::-1],
        lambda text: "Yes. " * 9,
    )
    for equal, sorts in ((False, answers), (True, answers[1:2])):
        evidence = Evidence(
            examples,
            _answered(evaluator, prompts, sorts),
            _responses(evaluator, examples),
            [_option_scores(question, equal) for question in questions],
            [_passage_score(passage) for passage in passages],
        )
        _check_evaluation(evaluator, evidence)


def _requests(
    name: str,
    kind: type,
    ask: Callable[[Sequence[ParallelExample]], Iterable[Any]],
    examples: Sequence[ParallelExample],
) -> list[Any]:
    asked = list(ask(examples))
    require(all(isinstance(one, kind) for one in asked), f"{name} gives something that is no {kind.__name__}")
    require(len({one.id for one in asked}) == len(asked), f"two {name} have the same id")
    require(list(ask(examples)) == asked, f"{name} gives other {name} when it is asked again")
    return asked


def _answered(
    evaluator: Evaluator, prompts: Sequence[Prompt], sorts: Sequence[Callable[[str], str]]
) -> list[Generation]:
    """Answers to prompts and to all that ``ask_again`` names; the sort of an answer goes by item and attempt."""
    made: list[Generation] = []
    number = {prompt.id: i for i, prompt in enumerate(prompts)}
    attempts: dict[str, int] = {}
    for _ in range(MOST_ROUNDS):
        for prompt in prompts:
            i = number[prompt.id] + prompt.attempt
            text = sorts[i % len(sorts)](prompt.text)
            made.append(Generation(prompt, text, len(text), finished=bool(i % 2)))
            attempts[prompt.id] = prompt.attempt
        prompts = list(evaluator.ask_again(made))
        if not prompts:
            return made
        require(list(evaluator.ask_again(made)) == prompts, "ask_again names other prompts when it is asked again")
        require(len({prompt.id for prompt in prompts}) == len(prompts), "ask_again names a prompt twice")
        for prompt in prompts:
            require(prompt.id in number, f"ask_again names {prompt.id}, which prompts does not")
            before = attempts[prompt.id]
            require(prompt.attempt > before, f"ask_again: attempt {prompt.attempt} of {prompt.id} after {before}")
    raise AssertionError(f"ask_again still asks after {MOST_ROUNDS} rounds")


def _option_scores(question: Question, equal: bool) -> OptionScores:
    """Longer options are less likely; with ``equal`` none is, and the context did not fit."""
    sizes = [len(option.encode()) for option in question.options]
    totals = [-1.0 if equal else -0.7 * size - i / 8 for i, size in enumerate(sizes)]
    return OptionScores(question, tuple(totals), tuple(sizes), 3 if equal else 0)


def _passage_score(passage: Passage) -> PassageScore:
    size = len(passage.text.encode())
    return PassageScore(passage, -0.7 * size, size, size)


def _responses(evaluator: Evaluator, examples: Sequence[ParallelExample]) -> dict[str, dict[View, ResponseScore]]:
    views = sorted(evaluator.scored_views())
    require(
        all(isinstance(view, View) for view in views),
        f"scored_views gives {views}; expected some of langxfer.data.View",
    )
    if not views:
        return {}

    def score(example: ParallelExample, view: View) -> ResponseScore:
        size = len(example.turn(view.response).response.encode())
        return ResponseScore(-0.7 * size - (5.0 if view.prompt is Side.TARGET else 0.0), size + 1, size)

    return {example.id: {view: score(example, view) for view in views} for example in examples}


def _check_evaluation(evaluator: Evaluator, evidence: Evidence) -> None:
    evaluation = _sound(evaluator, evidence)
    names = [score.name for score in evaluation.scores]
    require(len(set(names)) == len(names) and all(names), f"names of scores are empty or occur twice: {names}")
    for score in evaluation.scores:
        require((score.standard_error or 0) >= 0 and score.n >= 0, f"{score.name}: {score}")
        require(score.signature, f"{score.name} has no signature")
        if score.interval is not None and score.value is not None:
            low, high = score.interval
            require(low <= score.value <= high, f"{score.name}: {score.value} is outside of {score.interval}")
    items = [(row["id"], row.get("language")) for row in evaluation.rows]
    twice = next((item for item in items if items.count(item) > 1), None) if len(set(items)) < len(items) else None
    require(twice is None, f"two rows have the id and language {twice}, so that they cannot be paired in comparisons")
    require(_sound(evaluator, evidence) == evaluation, "evaluate gives other scores when it is asked again")


def _sound(evaluator: Evaluator, evidence: Evidence) -> Evaluation:
    """What it gives, looked at as the engine does before it keeps anything."""
    found = evaluator.evaluate(evidence)
    try:
        return sound(found, {answer.prompt.id for answer in evidence.generations})
    except ValueError as error:
        raise AssertionError(f"evaluate gives {error}") from None
