"""The report on the translation of a run: from its artifact, and, for the way back, with the translator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langxfer.components import Pair
from langxfer.data import Turn, read_examples, read_jsonl
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

    def report(
        self, pipeline: Pipeline | None, shown: int, progress: Callable[[int, int | None], None]
    ) -> PairReport:
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
