"""Answers of one model to requests: found in the cache, or computed, and kept window by window.

All processes call the same methods with the same requests; each computes its share, and the main one keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from langxfer.engine.answer_cache import AnswerCache
from langxfer.engine.encode import Encoded
from langxfer.engine.forward import Scorer
from langxfer.engine.requests import Requests
from langxfer.engine.runtime import free
from langxfer.engine.subject import Subject


class Answers:
    """A context manager: the model is loaded when an answer is missing, and freed at the end.

    Args:
        subject: the model.
        trained: weights of earlier phases.
        cache: the file in which answers are kept.
        identity: JSON values, all that decides answers beside the requests.
        check: an example on which the scorer is checked when it is loaded; None for no check.
        progress: told (done, total) requests.
    """

    def __init__(
        self,
        subject: Subject,
        trained: Sequence[Path],
        cache: Path,
        identity: Mapping[str, Any],
        check: Encoded | None,
        progress: Callable[[int, int], None],
    ):
        self._subject, self._trained, self._check, self._progress = subject, trained, check, progress
        self._path, self._identity = cache, identity
        self._found: dict[str, Any] = {}
        self._done = self._total = 0
        self._exit = ExitStack()

    def __enter__(self) -> Answers:
        if self._subject.runtime.main:
            self._cache = self._exit.enter_context(AnswerCache(self._path, self._identity))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()
        if vars(self).pop("_scorer", None) is not None:
            free()

    def __getitem__(self, text: str) -> Any:
        """What was answered to a request, as JSON values."""
        return self._found[text]

    def answer(self, sorts: Iterable[Requests[Any]]) -> None:
        """Find or compute the answers to all requests."""
        sorts = list(sorts)
        missing: list[list[str]] = []
        for requests in sorts:
            wanted = [text for text in requests.items if text not in self._found]
            found = self._from_main(lambda own=wanted: self._cache.find(own))
            self._found |= found
            missing.append([text for text in wanted if text not in found])
        self._total += sum(map(len, missing))
        for requests, texts in zip(sorts, missing, strict=True):
            if texts:
                self._compute(requests, texts)

    def _compute(self, requests: Requests[Any], texts: Sequence[str]) -> None:
        runtime = self._subject.runtime
        ordered, window = requests.ordered(texts), requests.at_once * runtime.world
        for start in range(0, len(ordered), window):
            group = ordered[start : start + window]
            share = -(-len(group) // runtime.world)
            own = group[runtime.rank * share : (runtime.rank + 1) * share]
            values = requests.compute(self._scorer, [requests.items[text] for text in own], self._tell) if own else []
            made = dict(runtime.gather(list(zip(own, values, strict=True))))
            self._found |= self._from_main(lambda new=made: self._cache.add(new))
            self._done += len(group)
            self._tell(0)

    def _tell(self, more: int) -> None:
        self._progress(min(self._done + more * self._subject.runtime.world, self._total), self._total)

    def _from_main(self, value: Callable[[], Any]) -> Any:
        """What the main process says, which alone knows the cache."""
        runtime = self._subject.runtime
        return runtime.decide(value() if runtime.main else None)

    @cached_property
    def _scorer(self) -> Scorer:
        scorer = self._subject.scorer(self._trained)
        if self._check is not None:
            scorer.self_check(self._check)
        return scorer
