"""The judge ``openai``: its options, and how a contest becomes a request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from langxfer import Contest, Judge, LangxferError, OpenJudge, RecipeError, Verdict
from langxfer.verdicts import FUNCTION, LIKELIEST, ranking_schema, read_ranking, weigh
from langxfer_openai.connection import NO_RESULT, Connection
from langxfer_openai.endpoint import Endpoint, Reply, ask_all

WARMER = 0.3  # added to the temperature when a contest is judged again
FORMS = ("tool", "json", "text")  # ways of asking for a ranking; a server that refuses one is asked in the next
PROBE = [{"role": "user", "content": "Answer with the JSON object {}."}]  # what any model can be asked


class OpenAIJudge(Connection, Judge):
    """A judge that asks a language model behind an OpenAI-compatible endpoint, hosted or local.

    ``tool``: the model must call a function whose arguments have a strict schema. A server that refuses such requests
    is asked for JSON, and one that refuses that too for text, which must then be that JSON and nothing else.
    ``json`` begins with the second. ``weighted``: the model may say one token, and the verdict is the share of the
    second label's probability; one of the labels must be among the five likeliest tokens.

    The key comes from an environment variable, is sent to ``base_url`` and is written nowhere.
    """

    name: Literal["openai"] = "openai"
    verdicts: Literal["tool", "json", "weighted"] = Field("tool", description="How the model gives its verdict.")
    temperature: float | None = Field(0.0, ge=0, le=2, description="Sampling temperature; null: the endpoint's own.")
    max_tokens: int = Field(100, ge=1, description="Tokens of a ranking at the most; a weighted verdict has one.")

    @model_validator(mode="after")
    def _one_token(self) -> OpenAIJudge:
        if self.verdicts == "weighted" and self.max_tokens != type(self).model_fields["max_tokens"].default:
            raise ValueError("max_tokens has no effect on weighted verdicts, which have one token. Remove it")
        return self

    @property
    def answers(self) -> Literal["ranking", "label"]:
        return "label" if self.verdicts == "weighted" else "ranking"

    def what(self) -> dict[str, Any]:
        """All but speed, money and access."""
        return {name: value for name, value in super().what().items() if name not in NO_RESULT}

    @contextmanager
    def open(self, device: str, cache: Path | None) -> Iterator[OpenJudge]:
        """Ready to ask; the key is looked for with the first request.

        Raises:
            LangxferError: at the end, where the last call was not finished because the endpoint failed.
        """
        opened = _OpenOpenAIJudge(Endpoint(self), self)
        try:
            yield opened
            opened.raise_failure()
        finally:
            opened.endpoint.close()


class _OpenOpenAIJudge:
    """Judges in several threads.

    When the endpoint fails in the middle of a call, the verdicts that were paid for are given back, so that they can be
    kept; the failure is raised by the next call, or at the end.
    """

    def __init__(self, endpoint: Endpoint, options: OpenAIJudge):
        self.endpoint, self._options = endpoint, options
        self._failure: LangxferError | None = None
        self._forms: tuple[str, ...] = FORMS[FORMS.index(options.verdicts) :] if options.verdicts in FORMS else ()

    @property
    def at_once(self) -> int:
        """Contests that fill all requests at a time."""
        return self._options.concurrency

    def judge(self, contests: Sequence[Contest]) -> list[Verdict]:
        """A verdict for each contest, in order.

        Raises:
            RecipeError: no key, or the endpoint accepts neither it nor the model nor an option.
            EndpointError: the endpoint cannot be reached, or does not answer as it should.
        """
        return self._judge(contests, self._options.temperature)

    def judge_again(self, contests: Sequence[Contest]) -> list[Verdict]:
        """The same at a temperature 0.3 higher."""
        temperature = self._options.temperature
        return self._judge(contests, None if temperature is None else min(temperature + WARMER, 2.0))

    def usage(self) -> dict[str, float]:
        """Requests, retries, tokens, cost."""
        return self.endpoint.usage()

    def raise_failure(self) -> None:
        """Raise what a call before this one kept back."""
        if self._failure is not None:
            raise self._failure

    def _judge(self, contests: Sequence[Contest], temperature: float | None) -> list[Verdict]:
        self.raise_failure()
        ask = self._weighted if self._options.verdicts == "weighted" else self._ranked
        found, failure = ask_all(lambda contest: ask(contest, temperature), contests, self._options.concurrency)
        self._failure = failure
        if failure is not None and not found:
            raise failure
        unasked = Verdict(None, "the endpoint failed")
        return [found.get(place, unasked) for place in range(len(contests))]

    def _weighted(self, contest: Contest, temperature: float | None) -> Verdict:
        wanted = {"logprobs": True, "top_logprobs": LIKELIEST}
        reply = self.endpoint.complete(_messages(contest), 1, temperature, wanted)
        if reply.refused is not None:
            return self._refused(reply, wanted)
        if reply.log_probabilities is None:
            if reply.finish == "content_filter":
                return Verdict(None, "refused")
            raise RecipeError(
                f"{self._options.base_url} gives no log-probabilities for the model {self._options.model}. Use "
                "verdicts: tool or json."
            )
        return weigh(reply.log_probabilities, contest.labels)

    def _ranked(self, contest: Contest, temperature: float | None) -> Verdict:
        """A ranking in the first form that the server takes, which is the first to be tried from then on."""
        options = self._options
        for form in self._forms:
            wanted = _wanted(form, contest.labels)
            reply = self.endpoint.complete(_messages(contest), options.max_tokens, temperature, wanted)
            if reply.refused is None:
                self._forms = self._forms[self._forms.index(form) :] if form in self._forms else self._forms
                return _read(reply, contest.labels)
        return self._refused(reply, wanted)

    def _refused(self, reply: Reply, wanted: dict[str, Any]) -> Verdict:
        """A request was refused: because of its text, or would any be?"""
        if not self.endpoint.counts["requests"]:
            probed = self.endpoint.complete(PROBE, self._options.max_tokens, self._options.temperature, wanted)
            if probed.refused is not None:
                raise RecipeError(
                    f"{self._options.base_url} refuses every request ({reply.refused}). Check judge.model, and the "
                    "options verdicts, limit_name, temperature and max_tokens, which not every model takes."
                )
        return Verdict(None, "refused")


def _messages(contest: Contest) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in contest.messages]


def _wanted(form: str, labels: tuple[str, str]) -> dict[str, Any]:
    """What a request has beside its messages."""
    if form == "text":
        return {}
    if form == "json":
        return {"response_format": {"type": "json_object"}}
    function = {
        "name": FUNCTION,
        "description": "Make a leaderboard of the models, ordered by preference for their outputs.",
        "parameters": ranking_schema(labels),
        "strict": True,
    }
    choice = {"type": "function", "function": {"name": FUNCTION}}
    return {"tools": [{"type": "function", "function": function}], "tool_choice": choice}


def _read(reply: Reply, labels: tuple[str, str]) -> Verdict:
    """The ranking in the function's arguments, or in the text where no function was called."""
    verdict = read_ranking(reply.text if reply.arguments is None else reply.arguments, labels)
    if verdict.preference is None and reply.finish == "length":
        return Verdict(None, "truncated")
    if verdict.preference is None and reply.finish == "content_filter":
        return Verdict(None, "refused")
    return verdict
