"""What one evaluator asks of a model, and the evidence that becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from langxfer.components import (
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
from langxfer.data import ParallelExample, View
from langxfer.engine import requests
from langxfer.engine.answers import Answers
from langxfer.engine.encode import Encoded, Encoder
from langxfer.engine.requests import Requests
from langxfer.errors import PluginError
from langxfer.recipe import Compute


@dataclass(frozen=True)
class Asked:
    """The requests of an evaluator; ``prompts`` are those of all attempts so far, in their order."""

    sampling: Sampling
    prompts: tuple[Prompt, ...]
    questions: tuple[Question, ...]
    passages: tuple[Passage, ...]
    views: tuple[View, ...]

    @classmethod
    def by(cls, evaluator: Evaluator, examples: Sequence[ParallelExample]) -> Asked:
        """What it asks for at first."""
        prompts, questions = tuple(evaluator.prompts(examples)), tuple(evaluator.questions(examples))
        passages, views = tuple(evaluator.passages(examples)), tuple(sorted(evaluator.scored_views()))
        return cls(evaluator.sampling(), prompts, questions, passages, views)

    @property
    def nothing(self) -> bool:
        return not (self.prompts or self.questions or self.passages or self.views)

    def generations(self, encoder: Encoder, answers: Answers) -> list[Generation]:
        texts = (requests.prompt_text(encoder, prompt, self.sampling) for prompt in self.prompts)
        return [Generation(prompt, *answers[text]) for prompt, text in zip(self.prompts, texts, strict=True)]

    def evidence(
        self, examples: Sequence[ParallelExample], encoded: Sequence[Encoded], encoder: Encoder, answers: Answers
    ) -> Evidence:
        """The answers, in the order of the requests. Examples that could not be encoded are left out."""
        known = {example.id for example in encoded}
        responses = {
            example.id: {view: _response(example, view, answers) for view in self.views}
            for example in (encoded if self.views else ())
        }
        return Evidence(
            [example for example in examples if example.id in known],
            self.generations(encoder, answers),
            responses,
            [_options(question, answers) for question in self.questions],
            [PassageScore(passage, *answers[requests.passage_text(passage)]) for passage in self.passages],
        )


def _response(example: Encoded, view: View, answers: Answers) -> ResponseScore:
    total, tokens = answers[requests.response_text(example, view)]
    return ResponseScore(total, tokens, example.bytes[view.response], view in example.cut)


def _options(question: Question, answers: Answers) -> OptionScores:
    totals, tokens, cut = answers[requests.question_text(question)]
    return OptionScores(question, tuple(totals), tuple(tokens), cut)


def asked_again(evaluator: Evaluator, generations: Sequence[Generation]) -> list[Prompt]:
    """The prompts of an evaluator's next round.

    Raises:
        PluginError: one of them was asked already, so that rounds would never end.
    """
    again = list(evaluator.ask_again(generations))
    highest: dict[str, int] = {}
    for generation in generations:
        prompt = generation.prompt
        highest[prompt.id] = max(prompt.attempt, highest.get(prompt.id, prompt.attempt))
    for prompt in again:
        if prompt.attempt <= highest.get(prompt.id, -1):
            raise PluginError(
                f'evaluator "{evaluator.name}" asks prompt "{prompt.id}" once more as attempt {prompt.attempt}; '
                f"expected an attempt above {highest[prompt.id]}. Its ask_again has to raise it every time."
            )
    return again


def prompts_by_sampling(
    asked: Iterable[tuple[Sampling, Iterable[Prompt]]], encoder: Encoder, compute: Compute
) -> list[Requests[Prompt]]:
    """Prompts of several evaluators, those that are answered alike together."""
    groups: dict[Sampling, list[Prompt]] = {}
    for sampling, prompts in asked:
        if sampling.temperature == 0:  # what decides samples decides nothing
            sampling = Sampling(sampling.max_new_tokens)
        groups.setdefault(sampling, []).extend(prompts)
    return [requests.of_prompts(encoder, own, sampling, compute) for sampling, own in groups.items()]


def all_requests(
    asked: Sequence[Asked], encoded: Sequence[Encoded], encoder: Encoder, compute: Compute
) -> list[Requests]:
    """What several evaluators ask for at first, equal requests once."""
    views = sorted({view for own in asked for view in own.views})
    return [
        requests.of_questions(encoder, (question for own in asked for question in own.questions), compute),
        requests.of_passages(encoder, (passage for own in asked for passage in own.passages), compute),
        requests.of_responses(encoded, views, compute),
        *prompts_by_sampling(((own.sampling, own.prompts) for own in asked), encoder, compute),
    ]
