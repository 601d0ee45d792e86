"""A language model for lm-eval that computes nothing: it knows the answers already."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM

from langxfer.errors import DataError
from langxfer_lm_eval.tasks import users_turn

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class Unknown:
    """Whether an option is what greedy decoding gives: not computed, so nobody may look."""

    def __bool__(self) -> bool:
        raise DataError("lm_eval: a metric asks whether an option is the likeliest text, which is not supported.")

    __int__ = __bool__
    __index__ = __bool__


class Replay(LM):
    """Answers requests from what the engine found.

    Args:
        options: log-probabilities by (context, continuation).
        texts: log-probabilities by text.
        answers: by prompt, those of each attempt.
        careless: tasks that ask whether an option is what greedy decoding gives, and do nothing with it.
    """

    def __init__(
        self,
        options: Mapping[tuple[str, str], float],
        texts: Mapping[str, float],
        answers: Mapping[str, Sequence[str]],
        careless: Collection[str],
    ):
        super().__init__()
        self._careless = careless
        self._options, self._texts, self._answers = options, texts, answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, Any]]:
        return [
            (self._options[request.args], False if request.task_name in self._careless else Unknown())
            for request in requests
        ]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        return [self._texts[request.args[0]] for request in requests]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Cut at the first of the stop strings. A request that stands there k times gets k attempts."""
        attempts: dict[int, int] = {}
        found = []
        for request in requests:
            attempt = attempts.get(id(request), 0)
            attempts[id(request)] = attempt + 1
            prompt, options = request.args
            found.append(cut(self._answers[prompt][attempt], stops(options)))
        return found

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return users_turn(chat_history, add_generation_prompt)

    @property
    def tokenizer_name(self) -> str:
        return "langxfer"


def stops(options: Mapping[str, Any]) -> list[str]:
    """The stop strings of a request."""
    until = options.get("until") or []
    return [until] if isinstance(until, str) else list(until)


def cut(text: str, until: Sequence[str]) -> str:
    """The text before the first stop string."""
    for stop in until:
        if stop:
            text = text.split(stop, 1)[0]
    return text
