"""What can be said of a translated set: what was lost and why, lengths, languages, model scores.

A tally takes texts one at a time and keeps a few numbers of each, so that a stream of any length can be reported on.
"""

from __future__ import annotations

import random
import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from langxfer.components import Pair, Score
from langxfer.errors import RecipeError
from langxfer.languages import LANGUAGES
from langxfer.recipe import Quality
from langxfer.translation.identification import WORD, Classify, judge_language, load_identifier

T = TypeVar("T")
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Sample:
    """A text with its translation (None where there is none), for people to read; ``note`` says what is to be seen."""

    id: str
    source: str
    target: str | None
    note: str = ""


@dataclass(frozen=True)
class Lost:
    """A reason why something was not kept, how often, and a few cases."""

    reason: str
    count: int
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Spread:
    """How a number is distributed: mean and percentiles (5, 25, 50, 75, 95, as text) over ``n`` texts."""

    n: int
    mean: float
    percentiles: Mapping[str, float]


@dataclass(frozen=True)
class PartReport:
    """One kind of text of one language pair: prompts, responses, a field of a file.

    Attributes:
        part: its name.
        texts: that were kept, without those that hold nothing to translate.
        verbatim: texts without anything to translate (code, numbers): equal in both languages.
        characters: target characters a source character, text by text; None without texts.
        words: target words a source word; numbers are no words, and in scripts without spaces a character is one.
        languages: verdict on the target's language -> texts: right, wrong, unknown, too_short, empty.
        detected: for the wrong ones, label of the identifier -> texts.
        wrong: samples of the wrong ones; the note is the label.
    """

    part: str
    texts: int
    verbatim: int
    characters: Spread | None
    words: Spread | None
    languages: Mapping[str, int]
    detected: Mapping[str, int]
    wrong: Sequence[Sample]

    @property
    def fidelity(self) -> float | None:
        """Percent of the texts whose target side is certainly in its language."""
        return 100 * self.languages.get("right", 0) / self.texts if self.texts else None


@dataclass(frozen=True)
class PairReport:
    """What became of the texts of one language pair.

    Attributes:
        pair: the direction.
        kept: examples (or pieces of a file) that were kept.
        samples: a few of them.
        lost: the others by reason, most frequent first.
        parts: numbers by kind of text.
        deciles: of the model's scores, in nats a token, an example's being the mean of its segments': minimum, nine
            deciles, maximum; empty where the translator gives none. Of kept and lost examples.
        scored: examples behind them.
        retried: segments whose first translation was cut or ran in circles, and whose second was good.
        scores: against references, and of the way there and back, each with its signature.
        unreferenced: texts that are in no score against references because they have none, where others have.
        round_trips: a few texts that were translated there and back; the note is what came back.
    """

    pair: Pair
    kept: int
    samples: Sequence[Sample]
    lost: Sequence[Lost]
    parts: Sequence[PartReport]
    deciles: Sequence[float]
    scored: int
    retried: int
    scores: Sequence[Score] = ()
    unreferenced: int = 0
    round_trips: Sequence[Sample] = ()


@dataclass(frozen=True)
class Report:
    """A report on a translated set: who translated it, and a part for every language pair."""

    translator: str
    identifier: str
    pairs: Sequence[PairReport]


class Reservoir(Generic[T]):
    """At most ``size`` items of a stream, each with the same probability; what is kept depends on ``seed`` alone."""

    def __init__(self, size: int, seed: str):
        self._size, self._seen = size, 0
        self._random = random.Random(seed)
        self._items: list[tuple[int, T]] = []

    def add(self, item: T) -> None:
        self._seen += 1
        if len(self._items) < self._size:
            self._items.append((self._seen, item))
            return
        place = self._random.randrange(self._seen)
        if place < self._size:
            self._items[place] = (self._seen, item)

    @property
    def items(self) -> list[T]:
        """In the order of the stream."""
        return [item for _, item in sorted(self._items, key=lambda numbered: numbered[0])]


@dataclass
class _Part:
    texts: int = 0
    verbatim: int = 0
    characters: array[float] = field(default_factory=lambda: array("d"))
    words: array[float] = field(default_factory=lambda: array("d"))
    languages: Counter[str] = field(default_factory=Counter)
    detected: Counter[str] = field(default_factory=Counter)


class PairTally:
    """Collects a ``PairReport``.

    Args:
        pair: direction.
        quality: how many samples, and which.
        classify: identifies languages; None loads the identifier when it is first needed.
    """

    def __init__(self, pair: Pair, quality: Quality, classify: Classify | None = None):
        self.pair, self._quality, self._classify = pair, quality, classify
        self._parts: dict[str, _Part] = {}
        self._wrong: dict[str, Reservoir[Sample]] = {}
        self._lost: Counter[str] = Counter()
        self._lost_samples: dict[str, Reservoir[Sample]] = {}
        self._kept = 0
        self._samples: Reservoir[Sample] = self._reservoir("kept")
        self._scores: array[float] = array("d")
        self._retried = 0

    def kept(self, sample: Sample) -> None:
        """Count an example that was kept; its texts are added by ``text``."""
        self._kept += 1
        self._samples.add(sample)

    def lost(self, reason: str, sample: Sample) -> None:
        """Count an example that was not kept."""
        self._lost[reason] += 1
        if reason not in self._lost_samples:
            self._lost_samples[reason] = self._reservoir(reason)
        self._lost_samples[reason].add(sample)

    def text(self, part: str, identity: str, source: str, target: str, *, verbatim: bool = False) -> None:
        """Count one text of an example that was kept."""
        own = self._parts.setdefault(part, _Part())
        if verbatim:
            own.verbatim += 1
            return
        own.texts += 1
        for ratios, count in ((own.characters, len), (own.words, words_in)):
            length = count(source.strip())
            if length:
                ratios.append(count(target.strip()) / length)
        self._judge(own, part, Sample(identity, source, target))

    def judged(self, score: float | None, retried: int) -> None:
        """Add what a model said of an example, in nats a token, and how many of its segments it was asked for twice."""
        if score is not None:
            self._scores.append(score)
        self._retried += retried

    def report(
        self, scores: Sequence[Score] = (), round_trips: Sequence[Sample] = (), unreferenced: int = 0
    ) -> PairReport:
        """What was collected so far, with what was measured elsewhere."""
        lost = [Lost(reason, count, self._lost_samples[reason].items) for reason, count in self._lost.most_common()]
        parts = [self._part(name, own) for name, own in self._parts.items()]
        return PairReport(
            pair=self.pair,
            kept=self._kept,
            samples=self._samples.items,
            lost=lost,
            parts=parts,
            deciles=deciles(self._scores),
            scored=len(self._scores),
            retried=self._retried,
            scores=scores,
            unreferenced=unreferenced,
            round_trips=round_trips,
        )

    def _judge(self, own: _Part, part: str, sample: Sample) -> None:
        if not LANGUAGES[self.pair.target].identifier:
            return
        self._classify = self._classify or load_identifier()
        judgement = judge_language(sample.target or "", self.pair.target, self._classify)
        own.languages[judgement.verdict] += 1
        if judgement.verdict == "wrong":
            label = str(judgement.detected)
            own.detected[label] += 1
            if part not in self._wrong:
                self._wrong[part] = self._reservoir(f"{part} in a wrong language")
            self._wrong[part].add(Sample(sample.id, sample.source, sample.target, label))

    def _part(self, name: str, own: _Part) -> PartReport:
        return PartReport(
            part=name,
            texts=own.texts,
            verbatim=own.verbatim,
            characters=spread(own.characters),
            words=spread(own.words),
            languages=dict(own.languages.most_common()),
            detected=dict(own.detected.most_common()),
            wrong=self._wrong[name].items if name in self._wrong else [],
        )

    def _reservoir(self, name: str) -> Reservoir[Sample]:
        return Reservoir(self._quality.samples, f"{self._quality.seed}/{self.pair}/{name}")


def words_in(text: str) -> int:
    """Words of a text; numbers are none, and in scripts without spaces a character is one."""
    return len(WORD.findall(text))


def spread(values: Sequence[float]) -> Spread | None:
    """Mean and percentiles, with linear interpolation between values; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return Spread(len(ordered), statistics.fmean(ordered), {str(p): quantile(ordered, p / 100) for p in PERCENTILES})


def deciles(values: Sequence[float]) -> list[float]:
    """Minimum, nine deciles, maximum; empty without values."""
    ordered = sorted(values)
    return [quantile(ordered, tenth / 10) for tenth in range(11)] if ordered else []


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of some ordered values lie, interpolated as numpy does by default."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def round_trip(
    sources: Sequence[Sample], back: Callable[[Sequence[str]], Iterable[str | None]], pair: Pair, shown: int
) -> tuple[Score, list[Sample]]:
    """chrF of translations that were translated back, and the ``shown`` worst of them.

    A text without a way back counts as an empty one: to leave it out would flatter.

    Raises:
        RecipeError: not one of them can be translated back.
    """
    from langxfer.engine.text_scores import round_trip_score

    returned = list(back([sample.target or "" for sample in sources]))
    if all(text is None for text in returned):
        raise RecipeError(
            f"quality.round_trip: none of {len(returned)} texts could be translated back from {pair.target} to "
            f"{pair.source}. Take a translator that speaks both ways, or set quality.round_trip to 0."
        )
    texts = [text or "" for text in returned]
    overall = round_trip_score(texts, [sample.source for sample in sources], pair)
    rows = [
        (round_trip_score([text], [sample.source], pair).value or 0.0, number)
        for number, (sample, text) in enumerate(zip(sources, texts, strict=True))
    ]
    worst = [number for _, number in sorted(rows)[:shown]]
    return overall, [replace(sources[number], note=texts[number]) for number in worst]
