"""The report on the translation of a run: from its artifact, and, for the way back, with the translator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langxfer.components import Pair
from langxfer.data import ParallelExample, Turn, read_examples, read_jsonl
from langxfer.engine import models
from langxfer.engine.quality import PairReport, PairTally, Report, Reservoir, Sample, round_trip
from langxfer.engine.translate import DROPPED, PARTS, TRANSLATION
from langxfer.recipe import Recipe
from langxfer.report.translation import translation_page
from langxfer.translation.pipeline import Pipeline, open_pipeline

JSON, PAGE = "translation.json", "translation.md"


def make_report(
    recipe: Recipe, translated: Path, folder: Path, device: str, progress: Callable[[int, int | None], None]
) -> Report:
    """Write ``translation.json`` and ``translation.md`` into ``folder``.

    Args:
        recipe: says what is measured, and who translates back.
        translated: folder of the artifact of translation.
        folder: of the report.
        device: of the translator, ``cpu`` or ``cuda``.
        progress: gets (segments done, segments in all) of the way back.

    Raises:
        RecipeError: nothing can be translated back.
    """
    data, translator, quality = recipe.data, recipe.translator, recipe.quality
    collected = _collected(recipe, translated)
    ways = [Pair(tag, data.source_language) for tag in data.target_languages]
    back = translator is not None and quality.round_trip
    opened = open_pipeline(translator, device, models.cache_folder(), ways) if back else nullcontext()
    with opened as pipeline:
        pairs = [own.report(pipeline, quality.samples, progress) for own in collected.values()]
    found = Report(translator.name if translator else "parallel", f"py3langid {version('py3langid')}", pairs)
    (folder / JSON).write_text(json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(translation_page(found), encoding="utf-8")
    return found


@dataclass
class _Collected:
    """What the files of an artifact say of one language pair."""

    pair: Pair
    tally: PairTally
    there: Reservoir[Sample]

    def report(self, pipeline: Pipeline | None, shown: int, progress: Callable[[int, int | None], None]) -> PairReport:
        samples = self.there.items
        if pipeline is None or not samples:
            return self.tally.report()
        way = Pair(self.pair.target, self.pair.source)
        score, worst = round_trip(
            samples,
            lambda texts: (document.text for document in pipeline.documents(texts, way, progress)),
            self.pair,
            shown,
        )
        return self.tally.report([score], worst)


def _collected(recipe: Recipe, translated: Path) -> dict[str, _Collected]:
    """By target language."""
    data, quality = recipe.data, recipe.quality
    found: dict[str, _Collected] = {}
    for tag in data.target_languages:
        pair = Pair(data.source_language, tag)
        there: Reservoir[Sample] = Reservoir(quality.round_trip, f"{quality.seed}/{pair}/round trip")
        found[tag] = _Collected(pair, PairTally(pair, quality), there)
    facts = {row["id"]: row for row in _rows(translated / TRANSLATION)}
    for part in PARTS:
        for example in read_examples(translated / f"{part}.jsonl"):
            _keep(found[example.target.language], example, facts.get(example.id, {}))
    for row in _rows(translated / DROPPED):
        for own in _concerned(row, found):
            own.tally.lost(row["reason"], _lost_sample(row))
    for identity, row in facts.items():
        found[identity.rpartition("/")[2]].tally.judged(row["score"], row["retried"])
    return found


def _keep(own: _Collected, example: ParallelExample, facts: Mapping[str, Any]) -> None:
    for name in ("prompt", "response"):
        source, target = getattr(example.source, name), getattr(example.target, name)
        verbatim = facts.get(f"{name}_segments") == 0
        own.tally.text(name, example.id, source, target, verbatim=verbatim)
        if not verbatim:
            own.there.add(Sample(f"{example.id} {name}", source, target))
    own.tally.kept(Sample(example.id, _shown(example.source), _shown(example.target)))


def _concerned(row: Mapping[str, Any], found: Mapping[str, _Collected]) -> Iterable[_Collected]:
    """One language, or all of them where a row was lost before it came to languages."""
    tag = row["row"].rpartition("/")[2]
    return [found[tag]] if "source" in row or tag in found else found.values()


def _lost_sample(row: Mapping[str, Any]) -> Sample:
    source, target, measure = row.get("source"), row.get("target"), row.get("measure")
    return Sample(
        row["row"],
        _shown(Turn(**source)) if source else "",
        _shown(Turn(**target)) if target else None,
        "" if measure is None else f"{measure:.3g}",
    )


def _shown(turn: Turn) -> str:
    return f"{turn.prompt}\n\n{turn.response}"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    return read_jsonl(path) if path.is_file() else iter(())
