"""Documents in, translated documents out: in order, a window of documents in memory at a time.

A window is taken apart into segments; each distinct one is looked up in the cache, and the missing ones are
translated, longest first, in chunks that are kept in the cache before the next one starts. What comes back cut or
running in circles is translated again in parts or with other settings, else its document has no translation.

Guaranteed under ``kill -9`` at any moment: no segment that was kept is ever asked for again, and no document is
lost. The chunk in flight, a few seconds of work, is asked for once more.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice, repeat
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from langxfer.components import OpenTranslator, Pair, Translation, Translator
from langxfer.components.component import managed
from langxfer.errors import RecipeError
from langxfer.languages import language
from langxfer.translation import faults
from langxfer.translation.attempts import Attempts, checked
from langxfer.translation.segment_cache import Kept, SegmentCache, scope
from langxfer.translation.sentences import has_letter
from langxfer.translation.skeleton import take_apart
from langxfer.translation.usage import used

VERSION = 2  # raised when the same texts begin to make other documents
CACHE_FILE = "segments.sqlite"
WINDOW = 8_000  # segments in memory at a time: enough to find some of like length, few enough for a CPU's cache
WINDOW_CHARACTERS = 8_000_000  # and characters, where segments are long
LOOKED_UP = 512  # documents that a translator is asked for whole, at a time
FIRST_CHUNK = 4_000  # characters of the first chunk, when the translator's speed is not known
COMMIT_SECONDS = 5.0  # translation that a killed process can lose
FASTER = 4  # times larger than the last one a chunk may be

Progress = Callable[[int, int | None], None]


def what() -> dict[str, Any]:
    """What decides documents beside the translator, as JSON values: part of cache keys."""
    return {"version": VERSION, "faults": faults.VERSION, "sentencex": version("sentencex")}


class Document(NamedTuple):
    """A document with its translation.

    Attributes:
        source: as it was given.
        text: the translation; None where there is a problem.
        problem: why there is none, in a word or two.
        scores: mean log-probability of a token in nats, of each segment whose translator knows one.
        segments: how many it was taken apart into.
        verbatim: nothing in it can be translated (code, numbers, addresses): ``text`` is ``source``.
        retried: segments that came back cut or running in circles first, and were translated again.
    """

    source: str
    text: str | None
    problem: str | None
    scores: tuple[float, ...]
    segments: int
    verbatim: bool
    retried: int = 0


@dataclass
class Counts:
    """What a pipeline has done so far.

    Attributes:
        documents: those that are translated, or have turned out to have no translation.
        known: documents that the translator knew whole.
        segments: of these documents, repeated ones included.
        cached: distinct segments (of a window) that were in the cache.
        translated: distinct segments that the translator was asked for, those that failed included.
        retried: problem -> segments that had it at first, and then a translation without one.
        failed: problem -> segments that have no translation.
    """

    documents: int = 0
    known: int = 0
    segments: int = 0
    cached: int = 0
    translated: int = 0
    retried: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "retried": dict(self.retried), "failed": dict(self.failed)}


class Parts(Protocol):
    """A text in parts that can be put together again (``Skeleton``)."""

    @property
    def segments(self) -> Sequence[str]: ...

    def rebuild(self, translations: Sequence[str], target: str) -> str: ...


class Pipeline:
    """Translates documents through an open translator and a cache.

    Args:
        opened: an open translator.
        unit: what it is given at a time, ``sentence`` or ``document`` (``Translator.unit``).
        cache: what was translated before; None for none.
        identity: JSON values, all that decides what the translator makes of a segment.
        window: segments in memory at a time; documents are given out a window at a time.

    Attributes:
        counts: what was done so far.
    """

    def __init__(
        self,
        opened: OpenTranslator,
        unit: str,
        cache: SegmentCache | None,
        identity: Mapping[str, Any],
        window: int = WINDOW,
    ):
        self.counts = Counts()
        self._opened, self._cache, self._window = opened, cache, window
        self._identity = {**identity, "faults": faults.VERSION}
        self._attempts = Attempts(opened, unit)
        self._take_apart: Callable[[str, str], Parts] = Whole if unit == "document" else take_apart
        self._chunk_characters = float(FIRST_CHUNK)
        self._failed: dict[tuple[Pair, str], str] = {}  # nothing that failed is in the cache

    @property
    def usage(self) -> dict[str, float]:
        """What the translator says that it has used so far (requests, tokens, money), by name."""
        return used(self._opened)

    @property
    def running(self) -> str | None:
        """How the translator runs, in words; None where it does not say, or nothing has needed its model."""
        return getattr(self._opened, "running", None)

    def documents(
        self, texts: Iterable[str], pair: Pair, progress: Progress | None = None, count: int | None = None
    ) -> Iterator[Document]:
        """One document per text, in order.

        Args:
            texts: read no further than needed, about ``window`` segments ahead.
            pair: direction.
            progress: gets (segments done, segments in all); the latter is an estimate until all texts are read, and
                None where nothing says how many there are.
            count: number of texts, where ``texts`` has no length.

        Raises:
            RecipeError: a language that nobody knows; before anything is done.
            PluginError: the translator broke its contract.
            LangxferError: the translator failed; what it had translated is kept, and no document is given out.
            ArtifactError: the cache cannot be read or written; what was translated before is kept.
        """
        for tag in (pair.source, pair.target):
            language(tag)
        if count is None and isinstance(texts, Sized):
            count = len(texts)
        return self._documents(texts, pair, _Teller(progress, count))

    def _documents(self, texts: Iterable[str], pair: Pair, teller: _Teller) -> Iterator[Document]:
        kept_under = scope(self._identity, pair)
        for window in self._windows(texts, pair):
            segments = [segment for parts in window.parts for segment in parts.segments]
            distinct = list(dict.fromkeys(segments))
            teller.window(len(window.texts), len(segments), len(distinct))
            found: dict[str, Kept] = self._cache.find(kept_under, distinct) if self._cache else {}
            self.counts.cached += len(found)
            teller.advance(len(found))
            missing = [segment for segment in distinct if segment not in found]
            for chunk in self._chunks([segment for segment in missing if (pair, segment) not in self._failed]):
                found.update(self._translated(chunk, pair, kept_under))
                teller.advance(len(chunk))
            failed = {segment: self._failed[pair, segment] for segment in missing if segment not in found}
            self.counts.documents += len(window.texts)
            self.counts.known += len(window.known)
            self.counts.segments += len(segments)
            for number, (text, parts) in enumerate(zip(window.texts, window.parts, strict=True)):
                if number in window.known:
                    yield _known(text, window.known[number])
                else:
                    yield _document(text, parts, found, failed, pair.target)

    # ------------------------------------------------------------ taking apart

    def _windows(self, texts: Iterable[str], pair: Pair) -> Iterator[_Window]:
        window, segments, characters = _Window(), 0, 0
        for text, known in self._looked_up(texts, pair):
            if known is None:
                parts = self._take_apart(text, pair.source)
            else:
                window.known[len(window.texts)], parts = known, Whole("", pair.source)
            window.texts.append(text)
            window.parts.append(parts)
            segments += len(parts.segments) or 1
            characters += len(text)
            if segments >= self._window or characters >= WINDOW_CHARACTERS:
                yield window
                window, segments, characters = _Window(), 0, 0
        if window.texts:
            yield window

    def _looked_up(self, texts: Iterable[str], pair: Pair) -> Iterator[tuple[str, Translation | None]]:
        """Every document, with its translation where the translator knows it whole."""
        look_up = getattr(self._opened, "look_up", None)
        if look_up is None:
            yield from zip(texts, repeat(None))
            return
        for batch in _batches(texts, LOOKED_UP):
            for text, answer in zip(batch, checked(look_up(batch, pair), batch, self._opened), strict=True):
                yield text, None if answer.text is None or answer.problem is not None else answer

    # ------------------------------------------------------------ translating

    def _chunks(self, segments: list[str]) -> Iterator[list[str]]:
        """Longest first, so that segments of like length meet; as much at a time as takes ``COMMIT_SECONDS``.

        A translator that works on several requests at a time gets enough to be busy, however long they take.
        """
        segments.sort(key=len, reverse=True)
        start, fewest = 0, getattr(self._opened, "at_once", 1)
        while start < len(segments):
            end, characters = start, 0
            while end < len(segments) and (
                end - start < fewest or characters + len(segments[end]) <= self._chunk_characters
            ):
                characters += len(segments[end])
                end += 1
            began = time.monotonic()
            yield segments[start:end]
            rate = max(characters, 1) / max(time.monotonic() - began, 1e-6)
            self._chunk_characters = min(max(rate * COMMIT_SECONDS, 1.0), FASTER * self._chunk_characters)
            start = end

    def _translated(self, chunk: list[str], pair: Pair, kept_under: bytes) -> dict[str, Kept]:
        """What became of a chunk, now in the cache; the failures are in ``_failed`` and nowhere else."""
        made: dict[str, Kept] = {}
        self.counts.translated += len(chunk)
        for segment, (translation, first_problem) in zip(chunk, self._attempts.translate(chunk, pair), strict=True):
            if translation.text is None or translation.problem is not None:
                problem = translation.problem or faults.NONE
                self._failed[pair, segment] = problem
                self.counts.failed[problem] += 1
                continue
            if first_problem is not None:
                self.counts.retried[first_problem] += 1
            made[segment] = (translation.text, translation.score, first_problem is not None)
        kept = self._cache.add(kept_under, made) if self._cache else made
        self._attempts.raise_failure()  # no document is given out for want of what the translator was kept from
        return kept


def _known(text: str, translation: Translation) -> Document:
    scores = () if translation.score is None else (translation.score,)
    return Document(text, translation.text, None, scores, 1, False)


def _document(text: str, parts: Parts, found: dict[str, Kept], failed: dict[str, str], target: str) -> Document:
    segments = parts.segments
    if not segments:
        return Document(text, text, None, (), 0, True)
    if failed:
        problems = dict.fromkeys(failed[segment] for segment in segments if segment in failed)
        if problems:
            return Document(text, None, ", ".join(problems), (), len(segments), False)
    if len(segments) == 1:  # a full cache has little else to do
        own, score, again = found[segments[0]]
        scores = () if score is None else (score,)
        return Document(text, parts.rebuild((own,), target), None, scores, 1, False, int(again))
    rows = [found[segment] for segment in segments]
    scores = tuple(score for _, score, _ in rows if score is not None)
    translated = parts.rebuild([own for own, _, _ in rows], target)
    return Document(text, translated, None, scores, len(segments), False, sum(again for _, _, again in rows))


class Whole:
    """A document as its own one segment, but for the white space around it."""

    __slots__ = ("_around", "segments")

    def __init__(self, text: str, language: str):
        core = text.strip()
        self._around = text.partition(core)[::2] if 0 < len(core) < len(text) else ("", "")
        self.segments: Sequence[str] = (core,) if has_letter(core) else ()

    def rebuild(self, translations: Sequence[str], target: str) -> str:
        """The translation, with the white space of the document around it."""
        (translation,) = translations
        before, after = self._around
        return f"{before}{translation.strip()}{after}"


class _Window:
    """Documents with their parts; ``known`` are translations of whole ones, by place in the window."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.parts: list[Parts] = []
        self.known: dict[int, Translation] = {}


class _Teller:
    """Turns what was done into progress: segments done of segments in all.

    How many segments there are is known when all texts are read; until then it is as many a text as so far.
    """

    def __init__(self, progress: Progress | None, count: int | None):
        self._progress, self._count = progress, count
        self._documents = self._segments = self._done = 0
        self._share = 1.0  # segments of the window a distinct one

    def window(self, documents: int, segments: int, distinct: int) -> None:
        """A window was taken apart; the one before is done."""
        self._done = self._segments
        self._documents += documents
        self._segments += segments
        self._share = segments / max(distinct, 1)

    def advance(self, distinct: int) -> None:
        """Distinct segments of the window are done, and with them those that are equal."""
        self._done = min(self._done + distinct * self._share, self._segments)
        if self._progress is not None:
            self._progress(round(self._done), self._total())

    def _total(self) -> int | None:
        if self._count is None:
            return None
        left = max(self._count - self._documents, 0)
        return self._segments + round(left * self._segments / max(self._documents, 1))


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(texts)
    while batch := list(islice(remaining, size)):
        yield batch


@contextmanager
def open_pipeline(
    translator: Translator, device: str, folder: Path, pairs: Iterable[Pair], window: int = WINDOW
) -> Iterator[Pipeline]:
    """A pipeline through a translator and the segment cache in ``folder``.

    Args:
        translator: as a recipe has it.
        device: ``cpu`` or ``cuda``.
        folder: for the cache, and for what the translator keeps.
        pairs: directions that will be asked for.
        window: see ``Pipeline``.

    Raises:
        RecipeError: the translator does not speak one of the languages; before its model is loaded.
    """
    check_spoken(translator, pairs)
    # What was translated on one device is found again on the other, where they make no difference.
    identity = {**translator.what(), "device": device if translator.device_counts else "cpu"}
    with SegmentCache(folder / CACHE_FILE) as cache, managed(translator, translator.open(device, folder)) as opened:
        yield Pipeline(opened, translator.unit, cache, identity, window)


def check_spoken(translator: Translator, pairs: Iterable[Pair]) -> None:
    """Refuse directions that a translator cannot go; its model is not needed for that.

    Raises:
        RecipeError: it cannot go in one of them, or one of the languages is not known at all.
    """
    for pair in pairs:
        for tag in (pair.source, pair.target):
            language(tag)
        problem = translator.cannot(pair)
        if problem:
            raise RecipeError(f"{problem}.")
