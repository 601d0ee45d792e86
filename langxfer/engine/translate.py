"""From source rows to parallel examples: translation of what is missing, then the filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langxfer.components import Drop, Pair
from langxfer.data import ParallelExample, Turn, write_line
from langxfer.engine.filtering import WINDOW, open_filters
from langxfer.engine.formats import Rejected, SourceRow
from langxfer.engine.models import cache_folder
from langxfer.translation.pipeline import Document, Pipeline

if TYPE_CHECKING:
    from langxfer.recipe import Data

PARTS = ("train", "validation")
DROPPED, TRANSLATION = "dropped.jsonl", "translation.jsonl"


@dataclass(frozen=True)
class Built:
    """A row in one target language.

    Attributes:
        id: ``ROW/TAG``.
        source: the row's turn in the source language.
        example: None where there is no target side.
        reason: why the example is not used, or why there is none; None: it is used.
        measure: the number that decided, where a filter dropped it.
        translation: what is known of its translation, as in ``translation.jsonl``; None for parallel data.
    """

    id: str
    source: Turn
    example: ParallelExample | None
    reason: str | None
    measure: float | None = None
    translation: Mapping[str, Any] | None = None


def build_examples(
    rows: Sequence[SourceRow],
    data: Data,
    pipeline: Pipeline | None,
    name: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    device: str = "cpu",
) -> Iterator[Built]:
    """One result per row and target language, in the order of the rows, then of ``data.target_languages``.

    ``pipeline`` is None for parallel data. ``name`` becomes the examples' provenance. ``progress`` gets
    (done, total) in segments; the total is an estimate until all rows are taken apart. The first filter that drops
    an example gives the reason; filters with a model have it on ``device`` (``cpu`` or ``cuda``).

    Raises:
        PluginError: the translator or a filter broke its contract: not one answer for everything it was asked.
        ArtifactError: the segment cache cannot be read or tally.
    """
    sides = _given(rows, data) if pipeline is None else _translated(rows, data, pipeline, progress)
    with open_filters(data.filters, device, cache_folder()) as drops_of:
        while window := [_built(data, name, *side) for side in islice(sides, WINDOW)]:
            drops = iter(drops_of([item.example for item in window if item.example is not None]))
            yield from (item if item.example is None else _judged(item, next(drops)) for item in window)


def _built(
    data: Data, name: str, row: SourceRow, tag: str, target: Turn | str, facts: Mapping[str, Any] | None
) -> Built:
    """A result before the filters."""
    identity, source = f"{row.id}/{tag}", row.turns[data.source_language]
    translation = None if facts is None else {"id": identity, **facts}
    if isinstance(target, str):
        return Built(identity, source, None, target, None, translation)
    return Built(identity, source, ParallelExample(identity, source, target, name), None, None, translation)


def _judged(item: Built, drop: Drop | None) -> Built:
    return item if drop is None else replace(item, reason=drop.reason, measure=drop.measure)


_Side = tuple[SourceRow, str, Turn | str, Mapping[str, Any] | None]


def _given(rows: Sequence[SourceRow], data: Data) -> Iterator[_Side]:
    for row in rows:
        for tag in data.target_languages:
            yield row, tag, row.turns.get(tag) or row.missing.get(tag, f'no side "{tag}"'), None


def _translated(
    rows: Sequence[SourceRow], data: Data, pipeline: Pipeline, progress: Callable[[int, int], None]
) -> Iterator[_Side]:
    """All languages side by side, a window of rows each, so that no more of any is in memory."""
    together = _Together(len(data.target_languages), progress)
    streams = [
        pipeline.documents(_texts(rows, data), Pair(data.source_language, tag), together.of(number), 2 * len(rows))
        for number, tag in enumerate(data.target_languages)
    ]
    for row in rows:
        for tag, stream in zip(data.target_languages, streams, strict=True):
            prompt, response = next(stream), next(stream)
            yield row, tag, _turn(prompt, response, tag), _facts(prompt, response)


def _texts(rows: Sequence[SourceRow], data: Data) -> Iterator[str]:
    for row in rows:
        turn = row.turns[data.source_language]
        yield turn.prompt
        yield turn.response


def _turn(prompt: Document, response: Document, tag: str) -> Turn | str:
    for side, document in (("prompt", prompt), ("response", response)):
        if document.text is None:
            return f"translation of the {side}: {document.problem}"
    return Turn(prompt.text or "", response.text or "", tag)


def _facts(prompt: Document, response: Document) -> dict[str, Any]:
    """``score`` is the mean of the segments', in nats a token; None where the translator knows none."""
    scores = [*prompt.scores, *response.scores]
    return {
        "prompt_segments": prompt.segments,
        "response_segments": response.segments,
        "score": sum(scores) / len(scores) if scores else None,
        "retried": prompt.retried + response.retried,
        "problem": prompt.problem or response.problem,
    }


class _Together:
    """Progress of several languages as one: those that have not begun count as much as the others do on average."""

    def __init__(self, languages: int, progress: Callable[[int, int], None]):
        self._languages, self._progress = languages, progress
        self._done: dict[int, tuple[int, int]] = {}

    def of(self, number: int) -> Callable[[int, int | None], None]:
        """The callback of one language."""

        def tell(done: int, total: int | None) -> None:
            self._done[number] = (done, total or 0)
            totals = sum(own for _, own in self._done.values())
            self._progress(sum(own for own, _ in self._done.values()), totals * self._languages // len(self._done))

        return tell


# ---------------------------------------------------------------- writing


@dataclass
class Tally:
    """What was written.

    Attributes:
        parts: part -> examples.
        reasons: reason -> rows, or rows in a language, that are not used.
    """

    parts: Counter[str]
    reasons: Counter[str]


def write(folder: Path, built: Iterable[Built], rejected: Sequence[Rejected], validation: frozenset[str]) -> Tally:
    """Write examples as they come: ``train.jsonl``, ``validation.jsonl``, ``dropped.jsonl``, ``translation.jsonl``.

    Args:
        folder: of the artifact.
        built: in order.
        rejected: rows that were lost before; they come first in ``dropped.jsonl``.
        validation: ids of rows that are held out.
    """
    tally = Tally(Counter(), Counter())
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(open(folder / name, "w", encoding="utf-8"))
            for name in (*(f"{part}.jsonl" for part in PARTS), DROPPED, TRANSLATION)
        }

        def lose(row: str, reason: str, **texts: Any) -> None:
            write_line(files[DROPPED], {"row": row, "reason": reason, **texts})
            tally.reasons[reason] += 1

        for item in rejected:
            lose(item.row, item.reason)
        for item in built:
            if item.translation is not None:
                write_line(files[TRANSLATION], dict(item.translation))
            if item.example is None or item.reason is not None:
                target = asdict(item.example.target) if item.example else None
                lose(item.id, item.reason or "", measure=item.measure, source=asdict(item.source), target=target)
            else:
                part = "validation" if item.id.rpartition("/")[0] in validation else "train"
                write_line(files[f"{part}.jsonl"], asdict(item.example))
                tally.parts[part] += 1
    return tally
