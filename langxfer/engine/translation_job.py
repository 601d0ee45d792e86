"""Pieces of files through a translator: in their order, and with a report at the end.

No more pieces are in memory than the pipeline reads ahead. What was translated before, by a job that was killed or
by a run, comes out of the segment cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import fmean
from typing import Literal

from langxfer.components import Pair, Score
from langxfer.engine.pieces import Piece
from langxfer.engine.quality import PairTally, Report, Reservoir, Sample, round_trip
from langxfer.engine.text_scores import reference_scores
from langxfer.errors import DataError, LangxferError
from langxfer.recipe import Quality
from langxfer.translation.pipeline import Document, Pipeline

Progress = Callable[[int, int | None], None]
Failed = Literal["empty", "keep", "drop", "error"]


@dataclass(frozen=True)
class _Waiting:
    """A piece whose texts are under way, with the references of these texts (None where there are none)."""

    piece: Piece
    references: Sequence[str | None]


class TranslationJob:
    """Translates pieces and collects the report on them.

    Args:
        pipeline: the open translator.
        name: of the translator, for the report.
        pair: direction.
        failed: what is written for a piece of which a text has no translation to be trusted: that text ``empty``, or
            the source text (``keep``); ``drop`` leaves the piece out, ``error`` stops.
        quality: what is measured.
    """

    def __init__(self, pipeline: Pipeline, name: str, pair: Pair, failed: Failed, quality: Quality):
        self._pipeline, self._name, self._pair, self._failed, self._quality = pipeline, name, pair, failed, quality
        self._tally = PairTally(pair, quality)
        self._waiting: deque[_Waiting] = deque()
        self._there: Reservoir[Sample] = Reservoir(quality.round_trip, f"{quality.seed}/{pair}/round trip")
        self._translations: list[str] = []
        self._references: list[str] = []
        self._unreferenced = 0

    def pieces(
        self, pieces: Iterable[Piece], references: Iterable[Piece] | None = None, progress: Progress | None = None
    ) -> Iterator[bytes]:
        """The bytes of every piece, in order, as soon as its texts are translated.

        Args:
            pieces: what is read.
            references: as many pieces, with references under the names of the texts. A text without one is not scored.
            progress: gets (segments done, segments in all or None).

        Raises:
            DataError: references do not match the pieces.
            LangxferError: a text has no translation, and ``failed`` is ``error``.
        """
        documents = self._pipeline.documents(self._texts(pieces, references), self._pair, progress)
        pending: list[Document] = []
        for document in documents:
            pending.append(document)
            while self._waiting and len(pending) >= len(self._waiting[0].piece.texts):
                waiting = self._waiting.popleft()
                needed = len(waiting.piece.texts)
                yield self._finished(waiting, pending[:needed])
                pending = pending[needed:]
        while self._waiting:
            yield self._finished(self._waiting.popleft(), [])

    def report(self, progress: Progress | None = None) -> Report:
        """What can be said of everything so far; this is when texts are translated back."""
        scores: list[Score] = []
        trips: list[Sample] = []
        unreferenced = self._unreferenced if self._references else 0
        if self._references:
            scores += reference_scores(self._translations, self._references, self._pair)
        if self._there.items:
            score, trips = round_trip(self._there.items, self._back(progress), self._pair, self._quality.samples)
            scores.append(score)
        return Report(
            self._name, f"py3langid {version('py3langid')}", (self._tally.report(scores, trips, unreferenced),)
        )

    def _back(self, progress: Progress | None) -> Callable[[Sequence[str]], Iterator[str | None]]:
        pair = Pair(self._pair.target, self._pair.source)
        return lambda texts: (document.text for document in self._pipeline.documents(texts, pair, progress))

    def _texts(self, pieces: Iterable[Piece], references: Iterable[Piece] | None) -> Iterator[str]:
        """The texts of all pieces, which are remembered until their translations come."""
        without = ((piece, [None] * len(piece.texts)) for piece in pieces)
        aligned = without if references is None else _aligned(pieces, references)
        for piece, reference in aligned:
            self._waiting.append(_Waiting(piece, reference))
            yield from (text for _, text in piece.texts)

    def _finished(self, waiting: _Waiting, documents: Sequence[Document]) -> bytes:
        piece, tally = waiting.piece, self._tally
        for document, reference in zip(documents, waiting.references, strict=True):
            if reference is not None:
                self._translations.append(document.text or "")
                self._references.append(reference)
            else:
                self._unreferenced += 1
        scores = [score for document in documents for score in document.scores]
        tally.judged(fmean(scores) if scores else None, sum(document.retried for document in documents))
        problems = dict.fromkeys(one for document in documents for one in (document.problem or "").split(", ") if one)
        if problems:
            return self._lost(piece, documents, ", ".join(problems))
        for (part, _), document in zip(piece.texts, documents, strict=True):
            tally.text(part, piece.where, document.source, document.text or "", verbatim=document.verbatim)
            if not document.verbatim:
                self._there.add(Sample(piece.where, document.source, document.text))
        if documents:
            tally.kept(_sample(piece, documents))
        return piece.render([document.text or "" for document in documents])

    def _lost(self, piece: Piece, documents: Sequence[Document], problems: str) -> bytes:
        if self._failed == "error":
            raise LangxferError(f"{piece.where} has no translation to be trusted: {problems}. See --failed.")
        self._tally.lost(problems, _sample(piece, documents))
        if self._failed == "drop":
            return b""
        instead = (lambda document: document.source) if self._failed == "keep" else (lambda document: "")
        return piece.render([instead(document) if document.text is None else document.text for document in documents])


def _sample(piece: Piece, documents: Sequence[Document]) -> Sample:
    """The texts of a piece as one."""
    sources, targets = [document.source for document in documents], [document.text for document in documents]
    missing = all(text is None for text in targets)
    shown = None if missing else "\n\n".join("…" if text is None else text for text in targets)
    return Sample(piece.where, "\n\n".join(sources), shown)


def _aligned(pieces: Iterable[Piece], references: Iterable[Piece]) -> Iterator[tuple[Piece, Sequence[str | None]]]:
    """Pieces with the references of their texts, from the reference piece at the same place."""
    others = iter(references)
    last = "once"
    for piece in pieces:
        other = next(others, None)
        if other is None:
            raise DataError(f"the references end at {last}, and there is more to translate at {piece.where}.")
        last = other.where
        yield piece, _matched(piece, other)
    extra = next((other for other in others if other.texts), None)
    if extra is not None:
        raise DataError(f"there is a reference at {extra.where}, and nothing more to translate.")


def _matched(piece: Piece, other: Piece) -> list[str | None]:
    """The texts of ``other`` by their names, and in their order where several have one name."""
    given: dict[str, deque[str]] = {}
    for name, text in other.texts:
        given.setdefault(name, deque()).append(text)
    return [given[name].popleft() if given.get(name) else None for name, _ in piece.texts]
