"""An endpoint, asked through the ``openai`` package: key, retries, what went wrong in words, what was used."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from langxfer import LangxferError, RecipeError

if TYPE_CHECKING:
    from openai import APIError, OpenAI

    from langxfer_openai.connection import Connection

T = TypeVar("T")
R = TypeVar("R")

NO_KEY = "none"  # what servers that want no key are sent
LONGEST = 300  # characters of a server's words that are passed on
MILLION = 1_000_000
DONE = {"translator": "translated", "judge": "judged"}
NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})


class EndpointError(LangxferError):
    """An endpoint does not answer, or not as it should. What was done before is kept."""


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered.

    Attributes:
        text: of the model; empty where there is none.
        finish: why it ended: ``stop``, ``length`` (cut off), ``content_filter``, or another word of the server's.
        refused: the server's words, where it did not take this request though others may do.
        arguments: of the function that the model called, if it did.
        log_probabilities: of the likeliest first tokens, natural logarithms, where they were asked for and given.
    """

    text: str
    finish: str
    refused: str | None = None
    arguments: str | None = None
    log_probabilities: Mapping[str, float] | None = None


class Endpoint:
    """Asks for completions, from many threads at a time.

    The client library repeats a request on lost connections, timeouts, 408, 409, 429 and 5xx: after the time that
    the server asks for (``Retry-After``), else after 0.5 seconds, doubled each time up to 8, less up to a quarter by
    chance.

    Attributes:
        options: of the translator or judge.
        counts: requests that were answered, retries, tokens.
    """

    def __init__(self, options: Connection):
        self.options = options
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._client: OpenAI | None = None
        self._key = NO_KEY

    def complete(
        self,
        messages: Sequence[Mapping[str, str]],
        limit: int,
        temperature: float | None,
        wanted: Mapping[str, Any] = NOTHING_MORE,
    ) -> Reply:
        """Ask for one completion of at most ``limit`` tokens.

        Args:
            wanted: more fields of the request: ``response_format``, ``tools``, ``logprobs``.

        Raises:
            RecipeError: there is no key, or the endpoint does not accept it, or does not know the model.
            EndpointError: it cannot be reached, or gave no proper answer in all retries.
        """
        client, options = self._connected(), self.options
        arguments: dict[str, Any] = {"model": options.model, "messages": messages, options.limit_name: limit, **wanted}
        if temperature is not None:
            arguments["temperature"] = temperature
        from openai import APIError, BadRequestError, UnprocessableEntityError

        try:
            raw = client.chat.completions.with_raw_response.create(**arguments)
        except (BadRequestError, UnprocessableEntityError) as error:
            return Reply("", "refused", self._words(error))
        except APIError as error:
            raise self._failure(error) from None
        try:
            return self._reply(raw.parse(), raw.retries_taken)
        except (APIError, ValueError, AttributeError, IndexError, TypeError) as error:
            raise EndpointError(
                f"{options.base_url} answers with something that is no chat completion ({self._words(error)}). Check "
                f"{options.kind}.base_url: it usually ends in /v1."
            ) from None

    def usage(self) -> dict[str, float]:
        """Requests, retries, tokens; and money, where the recipe has prices."""
        options, used = self.options, dict(self.counts)
        if used and (options.input_price is not None or options.output_price is not None):
            money = {"input_tokens": options.input_price, "output_tokens": options.output_price}
            used["cost"] = sum(self.counts[name] * (price or 0.0) for name, price in money.items()) / MILLION
        return used

    def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> OpenAI:
        with self._lock:
            if self._client is None:
                try:
                    from openai import OpenAI
                except ImportError:
                    raise RecipeError(
                        f'{self.options.kind} "openai" needs a package:  pip install "openai>=2.0"'
                    ) from None
                options = self.options
                self._key = _key(options.key_variable, options.kind)
                self._client = OpenAI(
                    api_key=self._key, base_url=options.base_url, timeout=options.timeout, max_retries=options.retries
                )
            return self._client

    def _reply(self, completion: Any, retries: int) -> Reply:
        choice, usage = completion.choices[0], completion.usage
        with self._lock:
            self.counts.update(requests=1, retries=retries)
            if usage is None:
                self.counts["requests_without_token_counts"] += 1
            else:
                self.counts.update(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
        refused = getattr(choice.message, "refusal", None)
        finish = "content_filter" if refused else choice.finish_reason or "stop"
        calls = [call.function.arguments for call in choice.message.tool_calls or () if call.type == "function"]
        likeliest = (choice.logprobs.content or ()) if choice.logprobs else ()
        return Reply(
            choice.message.content or "",
            finish,
            arguments=calls[0] if len(calls) == 1 else None,
            log_probabilities={own.token: own.logprob for own in likeliest[0].top_logprobs} if likeliest else None,
        )

    def _failure(self, error: APIError) -> LangxferError:
        """What to tell the user about an error that the client library gave up on."""
        import openai

        options, words = self.options, self._words(error)
        where, times = options.base_url, f"in {options.retries + 1} tries"
        kept = f"What was {DONE[options.kind]} is kept: run again later."
        slower = f"Lower {options.kind}.concurrency or raise {options.kind}.retries."
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            key = f"the key in {options.key_variable}" if options.key_variable else "a request without a key"
            return RecipeError(
                f"{where} does not accept {key} ({words}). Check {options.kind}.key_variable and the key."
            )
        if isinstance(error, openai.NotFoundError):
            return RecipeError(f"{where} does not know the model {options.model}, or is no endpoint ({words}).")
        if isinstance(error, openai.APITimeoutError):
            return EndpointError(f"{where} gave no answer in {options.timeout:g} seconds, {times}. {kept}")
        if isinstance(error, openai.RateLimitError):
            return EndpointError(f"{where} lets no more requests through, {times} ({words}). {slower} {kept}")
        if isinstance(error, openai.APIConnectionError):
            return EndpointError(
                f"{where} cannot be reached, {times} ({self._words(error.__cause__ or error)}). {kept}"
            )
        return EndpointError(f"{where} failed, {times} ({words}). {kept}")

    def _words(self, error: object) -> str:
        """An error's own words on one line, never with the key in them."""
        words = " ".join(str(error).split())
        if self._key != NO_KEY:
            words = words.replace(self._key, "***")
        return words[:LONGEST] or type(error).__name__


def ask_all(ask: Callable[[T], R], parts: Sequence[T], at_once: int) -> tuple[dict[int, R], LangxferError | None]:
    """Ask about all parts in several threads.

    Returns:
        Answers by the place of their part, and the first failure; after one, only what is under way is waited for.
    """
    with ThreadPoolExecutor(at_once) as pool:
        asked = [pool.submit(ask, part) for part in parts]
        try:
            wait(asked, return_when=FIRST_EXCEPTION)
        finally:  # after a failure or an interrupt
            pool.shutdown(wait=True, cancel_futures=True)
    answers: dict[int, R] = {}
    failure: LangxferError | None = None
    for place, future in enumerate(asked):
        if future.cancelled():
            continue
        try:
            answers[place] = future.result()
        except LangxferError as error:
            failure = failure or error
    return answers, failure


def _key(variable: str | None, kind: str) -> str:
    """The key out of the environment; it goes nowhere but into requests."""
    if variable is None:
        return NO_KEY
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        state = "holds something that is no key" if key else "is not set"
        raise RecipeError(
            f'{kind} "openai" takes its key from the environment variable {variable}, which {state}. '
            f"Set it with export {variable}=..., or key_variable: null for a server that wants no key."
        )
    return key
