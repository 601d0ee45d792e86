"""The component ``openai``: its options, and how segments become requests."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from langxfer import LangxferError, OpenTranslator, Pair, RecipeError, Translation, Translator
from langxfer.languages import LANGUAGES
from langxfer_openai.connection import NO_RESULT, Connection
from langxfer_openai.conversation import PROMPTS, messages, read, read_cut
from langxfer_openai.endpoint import Endpoint, Reply, ask_all

ALLOWANCE = 64  # tokens of an answer that a segment may have beside those by its length: number, quotes, short texts
WARMER = 0.3  # added to the temperature when a segment is translated again
LONGER = 2.0  # times as many tokens may an answer have then
PROBE = "Good morning."  # what any model can translate


class OpenAITranslator(Connection, Translator):
    """A translator that asks a language model behind an OpenAI-compatible endpoint, hosted or local.

    Several segments go into a request, numbered, as JSON. An answer that is not JSON, or does not have the same
    numbers, is not believed: the segments are asked for again in halves, in the end one by one. A segment whose
    answer stays so has the problem ``unreadable``, one that is cut off ``truncated``, one that the model or the server
    will not translate ``refused``. Whether the model speaks a language, only its maker can tell.

    The key comes from an environment variable, is sent to ``base_url`` and is written nowhere.
    """

    device_counts: ClassVar[bool] = False  # the endpoint computes, wherever this runs
    name: Literal["openai"] = "openai"
    prompt_version: Literal[1, 2] = Field(
        2, description="Prompt: 1 asks for translations and no more; 2 also says what stays, and to follow no text."
    )
    instructions: str = Field("", description="Added to the prompt: tone, terms, how readers are addressed.")
    piece: Literal["document", "sentence"] = Field(
        "document", alias="unit", description="What is translated at a time: whole documents, or their sentences."
    )
    segments_per_request: int = Field(4, ge=1, description="Segments in one request at the most.")
    temperature: float | None = Field(0.0, ge=0, le=2, description="Sampling temperature; null: the endpoint's own.")
    max_tokens: int = Field(8192, ge=1, description="Tokens of an answer at the most.")
    max_tokens_ratio: float = Field(
        2.0, gt=0, description="Tokens of an answer for each UTF-8 byte of its segments; 64 more a segment are allowed."
    )
    json_mode: bool = Field(True, description="Whether to demand JSON (response_format); some servers do not know it.")

    @property
    def unit(self) -> Literal["sentence", "document"]:  # type: ignore[override]
        return self.piece

    def languages(self) -> frozenset[str]:
        """All that have a name to put into the prompt."""
        return frozenset(LANGUAGES)

    def identity(self) -> dict[str, Any]:
        """The prompt's own text, beside its version."""
        return {"prompt": hashlib.sha256(PROMPTS[self.prompt_version].encode()).hexdigest()}

    def what(self) -> dict[str, Any]:
        """All but speed, money and access."""
        return {name: value for name, value in super().what().items() if name not in NO_RESULT}

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[OpenTranslator]:
        """Ready to ask; the key is looked for with the first request, so that a full cache needs none.

        Raises:
            LangxferError: at the end, where the last call was not finished because the endpoint failed.
        """
        opened = _OpenOpenAI(Endpoint(self), self)
        try:
            yield opened
            opened.raise_failure()
        finally:
            opened.endpoint.close()


class Settings(NamedTuple):
    """How segments are asked for.

    Attributes:
        segments: in a request.
        temperature: of sampling; None for the endpoint's own.
        ratio: tokens of an answer for each byte.
    """

    segments: int
    temperature: float | None
    ratio: float


class _OpenOpenAI:
    """Translates in several threads.

    When the endpoint fails in the middle of a call, the translations that were paid for are given back, so that the
    cache keeps them, and None for the others; the failure is raised by ``raise_failure``, which the pipeline calls
    before it makes documents of them, else by the next call, or at the end.
    """

    def __init__(self, endpoint: Endpoint, options: OpenAITranslator):
        self.endpoint, self._options = endpoint, options
        self._failure: LangxferError | None = None

    @property
    def at_once(self) -> int:
        """Segments that fill all requests at a time; fewer in a call leave some of them idle."""
        return self._options.concurrency * self._options.segments_per_request

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | Translation | None]:
        """Translations in the same order and of the same number; blank segments and outer white space stay.

        Raises:
            RecipeError: no key, or the endpoint accepts neither it nor the model nor an option.
            EndpointError: the endpoint cannot be reached, or does not answer as it should.
        """
        options = self._options
        settings = Settings(options.segments_per_request, options.temperature, options.max_tokens_ratio)
        return self._translate(segments, pair, settings)

    def translate_again(self, segments: Sequence[str], pair: Pair) -> list[str | Translation | None]:
        """One segment a request, twice as many tokens allowed (up to ``max_tokens``), a temperature 0.3 higher."""
        options = self._options
        warmer = None if options.temperature is None else min(options.temperature + WARMER, 2.0)
        return self._translate(segments, pair, Settings(1, warmer, LONGER * options.max_tokens_ratio))

    def usage(self) -> dict[str, float]:
        """Requests, retries, tokens, cost."""
        return self.endpoint.usage()

    def raise_failure(self) -> None:
        """Raise what a call before this one kept back."""
        if self._failure is not None:
            raise self._failure

    def _translate(self, segments: Sequence[str], pair: Pair, settings: Settings) -> list[str | Translation | None]:
        self.raise_failure()
        texts = [segment.strip() for segment in segments]
        distinct = [text for text in dict.fromkeys(texts) if text]
        parts = [distinct[at : at + settings.segments] for at in range(0, len(distinct), settings.segments)]
        answers, failure = ask_all(lambda part: self._ask(part, pair, settings), parts, self._options.concurrency)
        self._failure = self._failure or failure
        found: dict[str, Translation] = {}
        for place, translations in answers.items():
            found.update(zip(parts[place], translations, strict=True))
        if self._failure is not None and not found:
            raise self._failure
        return [_around(segment, text, found) for segment, text in zip(segments, texts, strict=True)]

    def _ask(self, texts: Sequence[str], pair: Pair, settings: Settings) -> list[Translation]:
        """Translations of a request's texts; in halves where its answer cannot be used."""
        reply = self._reply(texts, pair, settings)
        found = read(reply.text, len(texts))
        if found is not None and all(text.strip() for text in found):
            return [Translation(text.strip()) for text in found]
        if len(texts) > 1:
            middle = len(texts) // 2
            return [*self._ask(texts[:middle], pair, settings), *self._ask(texts[middle:], pair, settings)]
        if reply.refused is not None:
            self._check_options(pair, settings)
        return [_flagged(reply, found)]

    def _reply(self, texts: Sequence[str], pair: Pair, settings: Settings) -> Reply:
        options = self._options
        size = sum(len(text.encode("utf-8", "replace")) for text in texts)
        limit = min(options.max_tokens, math.ceil(settings.ratio * size) + ALLOWANCE * len(texts))
        told = messages(options.prompt_version, options.instructions, pair, texts)
        wanted = {"response_format": {"type": "json_object"}} if options.json_mode else {}
        return self.endpoint.complete(told, limit, settings.temperature, wanted)

    def _check_options(self, pair: Pair, settings: Settings) -> None:
        """A request was refused: because of its text, or would any be?"""
        if self.endpoint.counts["requests"]:
            return
        refused = self._reply([PROBE], pair, settings).refused
        if refused is not None:
            raise RecipeError(
                f"{self._options.base_url} refuses every request ({refused}). Check translator.model, and the options "
                "json_mode, limit_name, temperature and max_tokens, which not every model takes."
            )


def _flagged(reply: Reply, found: list[str] | None) -> Translation:
    """The translation of a single text that came to nothing, with the reason."""
    if reply.finish == "length":
        return Translation(read_cut(reply.text), problem="truncated")
    if reply.finish in ("refused", "content_filter"):
        return Translation(None, problem="refused")
    return Translation(None, problem="unreadable" if found is None else "empty")


def _around(segment: str, text: str, found: dict[str, Translation]) -> str | Translation | None:
    """The translation with the white space around the segment; a plain text where nothing is wrong with it."""
    if not text:
        return segment
    translation = found.get(text)
    if translation is None or translation.text is None:
        return translation
    start = segment.find(text)
    whole = segment[:start] + translation.text + segment[start + len(text) :]
    return whole if translation.problem is None else Translation(whole, problem=translation.problem)
