"""The report of a run: from the files of its translation, under a key of its own, and shown in its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from langxfer import loading, plugins
from langxfer.components import Drop, Filter, Pair, Translation, Translator
from langxfer.data import ParallelExample, Turn
from langxfer.engine import plan
from langxfer.engine.formats import Rejected, SourceRow
from langxfer.engine.translate import build_examples, write
from langxfer.engine.translation_report import JSON, PAGE, make_report
from langxfer.errors import RecipeError
from langxfer.recipe import Data, Model, Phase, Quality, Recipe
from langxfer.testing import FakeTranslator
from langxfer.translation import open_pipeline


class Scored(Translator):
    """The fake translator with scores: minus the number of characters."""

    name: Literal["scored"] = "scored"
    one_way: bool = False

    def languages(self) -> None:
        return None

    def cannot(self, pair: Pair) -> str | None:
        return "it goes one way" if self.one_way and pair.target == "en" else None

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[Scored]:
        yield self

    def translate(self, segments: Sequence[str], pair: Pair) -> list[Translation | None]:
        with FakeTranslator(missing="Lost").open("cpu", Path()) as fake:
            texts = fake.translate(segments, pair)
        return [None if text is None else Translation(text, -float(len(text))) for text in texts]


class Shortest(Filter):
    """Drops short answers."""

    name: Literal["shortest"] = "shortest"

    def judge(self, example: ParallelExample) -> Drop | None:
        length = len(example.source.response)
        return Drop("too short", length) if length < 4 else None


def recipe_of(translator: Translator, quality: Quality, languages: tuple[str, ...] = ("de", "sw")) -> Recipe:
    objectives = plugins.load()
    objective, selector = (
        objectives.classes(kind)[name]() for kind, name in (("objective", "sft"), ("selector", "full"))
    )
    data = Data(source="rows.jsonl", format="alpaca", target_languages=languages, filters=(Shortest(),))
    phase = Phase(objective=objective, selector=selector)
    return Recipe(
        title="t", model=Model(source="m"), data=data, translator=translator, quality=quality, phases=(phase,)
    )


ROWS = {
    "a": ("Say it.", "The sea is deep."),
    "b/x": ("Say more.", "Rain. And wind."),
    "c": ("Compute.", "x is 12"),
    "d": ("Lost?", "So it is."),
    "e": ("Brief.", "So."),
    "f": ("Number?", "12345"),
}


def reported(quality: Quality, tmp_path: Path, translator: Translator | None = None) -> dict[str, Any]:
    """The report on ``ROWS``, as JSON."""
    recipe = recipe_of(translator or Scored(), quality)
    rows = [SourceRow(name, {"en": Turn(*texts, "en")}) for name, texts in ROWS.items()]
    pairs = [Pair("en", tag) for tag in recipe.data.target_languages]
    assert recipe.translator is not None
    with open_pipeline(recipe.translator, "cpu", tmp_path, pairs) as pipeline:
        built = build_examples(rows, recipe.data, pipeline, "scored")
        write(tmp_path, built, [Rejected("rows.jsonl:9", "empty prompt")], frozenset({"b/x"}))
    make_report(recipe, tmp_path, tmp_path, "cpu", lambda done, total: None)
    return json.loads((tmp_path / JSON).read_text())


def test_a_report_from_the_files_of_a_translation(tmp_path: Path) -> None:
    found = reported(Quality(samples=2), tmp_path)
    assert found["translator"] == "scored" and [pair["pair"]["target"] for pair in found["pairs"]] == ["de", "sw"]
    for pair in found["pairs"]:
        tag = pair["pair"]["target"]
        assert pair["kept"] == 4 and len(pair["samples"]) == 2
        lost = {item["reason"]: item for item in pair["lost"]}
        assert {reason: item["count"] for reason, item in lost.items()} == {
            "empty prompt": 1,
            "translation of the prompt: missing": 1,
            "shortest: too short": 1,
        }
        (short,) = lost["shortest: too short"]["samples"]
        assert (short["id"], short["source"], short["note"]) == (f"e/{tag}", "Brief.\n\nSo.", "3")
        assert (
            short["target"] is not None and lost["translation of the prompt: missing"]["samples"][0]["target"] is None
        )
        parts = {part["part"]: part for part in pair["parts"]}
        assert (parts["prompt"]["texts"], parts["prompt"]["verbatim"]) == (4, 0)
        assert (parts["response"]["texts"], parts["response"]["verbatim"]) == (3, 1)
        assert parts["response"]["characters"]["mean"] == 1.0
        # a: -(7 + 16) / 2, b/x: -(9 + 5 + 9) / 3, c: -(8 + 6) / 2, e: -(6 + 3) / 2, f: -7, d: -9 (its response)
        assert pair["scored"] == 6 and (pair["deciles"][0], pair["deciles"][-1]) == (-11.5, -4.5)
        assert pair["scores"] == [] and pair["round_trips"] == []
    page = (tmp_path / PAGE).read_text()
    assert "## en-de" in page and "## en-sw" in page and "### Lost: shortest: too short" in page


def test_the_way_back_is_measured_on_as_many_texts_as_asked(tmp_path: Path) -> None:
    found = reported(Quality(round_trip=5), tmp_path)
    for pair in found["pairs"]:
        (score,) = pair["scores"]
        assert score["name"] == f"round_trip_chrf/en-{pair['pair']['target']}"
        assert (score["value"], score["n"]) == (pytest.approx(100), 5)  # the fake translator's way back is exact
        assert len(pair["round_trips"]) == 3


def test_a_way_back_that_cannot_be_gone_is_refused_with_the_recipe() -> None:
    assert recipe_of(Scored(one_way=True), Quality())
    with pytest.raises(ValueError, match=r"quality\.round_trip: it goes one way"):
        recipe_of(Scored(one_way=True), Quality(round_trip=1))


PARALLEL = ("data.format=parallel", "data.source=langxfer:pairs.jsonl", "translator=null")


def test_the_section_decides_the_key_of_the_report_alone(recipe: Path, fake_plugin: Path) -> None:
    catalog = plugins.load([fake_plugin])

    def stages(*overrides: str) -> dict[str, str]:
        made = plan.build(loading.load_recipe(str(recipe), catalog, overrides).recipe)
        return {stage.label: stage.key for stage in made.stages}

    plain = stages()
    for change in ("quality.round_trip=3", "quality.samples=1", "quality.seed=1"):
        changed = stages(change)
        assert {label for label in plain if plain[label] != changed[label]} == {"quality"}
    assert stages("data.limit=3")["quality"] != plain["quality"]


def test_without_a_translator_there_is_no_way_back(recipe: Path, fake_plugin: Path) -> None:
    overrides = [*PARALLEL, "quality.round_trip=3"]
    with pytest.raises(RecipeError, match=r"quality\.round_trip needs a translator"):
        loading.load_recipe(str(recipe), plugins.load([fake_plugin]), overrides)
