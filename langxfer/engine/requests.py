"""What evaluators ask of a model. Each request has a text; where the texts are equal, the answers are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from langxfer.components import Passage, Prompt, Question, Sampling
from langxfer.data import View
from langxfer.engine.budget import tokens_per_micro_batch
from langxfer.engine.choices import score_questions
from langxfer.engine.encode import Encoded, Encoder
from langxfer.engine.forward import Scorer
from langxfer.engine.generate import generate, noise_name
from langxfer.engine.passages import score_passages
from langxfer.engine.reference import PART, score_part
from langxfer.engine.store import canonical
from langxfer.recipe import Compute

T = TypeVar("T")
Progress = Callable[[int], None]
QUESTIONS, PASSAGES = 256, 64  # computed before they are kept


@dataclass(frozen=True)
class Requests(Generic[T]):
    """Requests that are computed alike.

    Attributes:
        items: by their texts, without repetition.
        at_once: how many a process computes before they are kept.
        ordered: puts texts beside those that are like them, so that little is padded and much is shared.
        compute: JSON values, one for each item, in order; tells how many are done.
    """

    items: dict[str, T]
    at_once: int
    ordered: Callable[[Sequence[str]], list[str]]
    compute: Callable[[Scorer, Sequence[T], Progress], list[Any]]


def prompt_text(encoder: Encoder, prompt: Prompt, sampling: Sampling) -> str:
    """A greedy answer depends on what is read alone; a sampled one also on what decides its noise."""
    drawn: tuple[object, ...] = ()
    if sampling.temperature > 0:
        drawn = (sampling.temperature, sampling.top_p, sampling.seed, noise_name(prompt))
    kind = "prompt" if prompt.chat else "plain prompt"
    return canonical([kind, encoder.rendered(prompt), sampling.max_new_tokens, *drawn])


def question_text(question: Question) -> str:
    return canonical(["question", question.chat, question.context, question.options])


def passage_text(passage: Passage) -> str:
    return canonical(["passage", passage.text])


def response_text(example: Encoded, view: View) -> str:
    return canonical(["response", example.prompts[view.prompt], example.responses[view]])


def of_prompts(encoder: Encoder, prompts: Iterable[Prompt], sampling: Sampling, compute: Compute) -> Requests[Prompt]:
    """Prompts that are answered with one sampling: text, tokens, finished."""
    items: dict[str, Prompt] = {}
    for prompt in prompts:
        items.setdefault(prompt_text(encoder, prompt, sampling), prompt)

    def ordered(texts: Sequence[str]) -> list[str]:
        ids = encoder.asked_ids([items[text] for text in texts])
        lengths = {text: len(own) for text, own in zip(texts, ids, strict=True)}
        return sorted(texts, key=lambda text: (-lengths[text], text))

    def answer(scorer: Scorer, own: Sequence[Prompt], progress: Progress) -> list[Any]:
        per_batch = compute.prompts_per_batch
        found = generate(scorer.model, encoder, own, sampling, per_batch, scorer.autocast, progress)
        return [[answer.text, answer.tokens, answer.finished] for answer in found]

    return Requests(items, compute.prompts_per_batch, ordered, answer)


def of_questions(encoder: Encoder, questions: Iterable[Question], compute: Compute) -> Requests[Question]:
    """Questions: totals, tokens, cut. Sorted by context, so that what contexts share is in one window."""
    items: dict[str, Question] = {}
    for question in questions:
        items.setdefault(question_text(question), question)

    def answer(scorer: Scorer, own: Sequence[Question], progress: Progress) -> list[Any]:
        budget = tokens_per_micro_batch(compute, scorer.model)
        found = score_questions(scorer, encoder, own, budget, lambda done, total: progress(done))
        return [[list(scores.totals), list(scores.tokens), scores.cut] for scores in found]

    return Requests(items, QUESTIONS, sorted, answer)


def of_passages(encoder: Encoder, passages: Iterable[Passage], compute: Compute) -> Requests[Passage]:
    """Passages: total, tokens, bytes."""
    items: dict[str, Passage] = {}
    for passage in passages:
        items.setdefault(passage_text(passage), passage)

    def ordered(texts: Sequence[str]) -> list[str]:
        return sorted(texts, key=lambda text: (-len(text), text))

    def answer(scorer: Scorer, own: Sequence[Passage], progress: Progress) -> list[Any]:
        budget = tokens_per_micro_batch(compute, scorer.model)
        found = score_passages(scorer, encoder, own, budget, lambda done, total: progress(done))
        return [[score.total, score.tokens, score.bytes] for score in found]

    return Requests(items, PASSAGES, ordered, answer)


def of_responses(encoded: Iterable[Encoded], views: Sequence[View], compute: Compute) -> Requests[tuple[Encoded, View]]:
    """Responses of validation examples: total, tokens. The views of an example are scored together."""
    items: dict[str, tuple[Encoded, View]] = {}
    for example in encoded:
        for view in views:
            items.setdefault(response_text(example, view), (example, view))

    def ordered(texts: Sequence[str]) -> list[str]:
        longest = {own.id: max(own.length(view) for view in views) for own, _ in items.values()}
        return sorted(texts, key=lambda text: (-longest[items[text][0].id], items[text][0].id, items[text][1]))

    def answer(scorer: Scorer, own: Sequence[tuple[Encoded, View]], progress: Progress) -> list[Any]:
        by_example: dict[str, tuple[Encoded, list[View]]] = {}
        for example, view in own:
            by_example.setdefault(example.id, (example, []))[1].append(view)
        by_views: dict[tuple[View, ...], list[Encoded]] = {}
        for example, wanted in by_example.values():
            by_views.setdefault(tuple(wanted), []).append(example)
        budget = tokens_per_micro_batch(compute, scorer.model)
        found: dict[tuple[str, View], Any] = {}
        for wanted, examples in by_views.items():
            for view, scores in score_part(scorer, examples, wanted, budget).items():
                for example, tokens in zip(examples, scores, strict=True):
                    found[example.id, view] = [tokens.double().sum().item(), len(tokens)]
            progress(len(found))
        return [found[example.id, view] for example, view in own]

    return Requests(items, PART * max(1, len(views)), ordered, answer)
