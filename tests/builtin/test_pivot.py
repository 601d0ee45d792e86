"""Two translators one after the other: directions, what is passed on, recipes that nest them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from langxfer import plugins
from langxfer.builtin.memory import Memory
from langxfer.builtin.pivot import Pivot
from langxfer.components import Pair, Translation, Translator
from langxfer.errors import LangxferError, PluginError, RecipeError
from langxfer.loading import load_recipe
from langxfer.testing import FakeTranslator, check_translator

DE_SW = Pair("de", "sw")


class Told(Translator):
    """Answers as it is told, and puts its directions down; ``again`` marks second answers."""

    name: Literal["told"] = "told"
    answers: tuple[tuple[str, Any], ...] = ()
    speaks: tuple[str, ...] = ("de", "en", "sw")

    def languages(self) -> frozenset[str]:
        return frozenset(self.speaks)

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[Any]:
        yield _OpenTold(dict(self.answers))


class _OpenTold:
    def __init__(self, answers: dict[str, Any]):
        self._answers, self.asked = answers, []

    def translate(self, segments: Sequence[str], pair: Pair) -> list[Any]:
        self.asked.append((list(segments), str(pair)))
        return [self._answers.get(segment, segment.strip() and f"{segment}>{pair.target}") for segment in segments]

    def translate_again(self, segments: Sequence[str], pair: Pair) -> list[Any]:
        return [f"{segment}>>{pair.target}" for segment in segments]

    def usage(self) -> dict[str, float]:
        return {"requests": len(self.asked), "words": 0.5}


def translate(pivot: Pivot, segments: list[str], pair: Pair = DE_SW) -> list[Any]:
    with pivot.open("cpu", Path("unused")) as opened:
        return opened.translate(segments, pair)


def test_through_english_and_back():
    pivot = Pivot(first=FakeTranslator(), second=FakeTranslator())
    direct = FakeTranslator()
    with direct.open("cpu", Path("unused")) as opened:
        assert translate(pivot, ["Guten Tag", ""]) == opened.translate(["Guten Tag", ""], DE_SW)


@pytest.mark.parametrize(
    ("pair", "directions"),
    [
        (DE_SW, {"first": ["de-en"], "second": ["en-sw"]}),
        (Pair("en", "sw"), {"first": [], "second": ["en-sw"]}),
        (Pair("de", "en"), {"first": ["de-en"], "second": []}),
    ],
)
def test_each_translator_goes_its_own_way_and_none_that_is_not_needed(pair, directions):
    with Pivot(first=Told(), second=Told()).open("cpu", Path("unused")) as opened:
        opened.translate(["x"], pair)
        assert {leg: [asked for _, asked in own.asked] for leg, own in opened._opened.items()} == directions


def test_what_is_known_of_a_translation_is_passed_on():
    first = Told(
        answers=(
            ("lost", None),
            ("cut", Translation("cut", -0.5, "truncated")),
            ("both", Translation("both", -0.5, "truncated")),
            ("scored", Translation("scored", -0.5)),
        )
    )
    second = Told(
        answers=(
            ("both", Translation("zote", -0.25, "looping")),
            ("scored", Translation("alama", -0.25)),
            ("gone>en", Translation(None, problem="refused")),
            ("none>en", None),
        )
    )
    texts = ["lost", "cut", "both", "scored", "gone", "none", "plain"]
    with Pivot(first=first, second=second).open("cpu", Path("unused")) as opened:
        assert opened.translate(texts, DE_SW) == [
            None,
            Translation("cut>sw", -0.5, "truncated"),
            Translation("zote", -0.75, "truncated"),
            Translation("alama", -0.75),
            Translation(None, problem="refused"),
            None,
            "plain>en>sw",
        ]
        assert "lost" not in opened._opened["second"].asked[0][0] and len(opened._opened["second"].asked[0][0]) == 6
        assert opened.translate(["lost"], DE_SW) == [None]
        assert len(opened._opened["second"].asked) == 1  # nothing was left to ask


def test_again_goes_through_both_or_through_the_one_that_can():
    with Pivot(first=Told(), second=Told()).open("cpu", Path("unused")) as opened:
        assert opened.translate_again(["x"], DE_SW) == ["x>>en>>sw"]
    with Pivot(first=FakeTranslator(), second=Told()).open("cpu", Path("unused")) as opened:
        english = opened._opened["first"].translate(["abc"], Pair("de", "en"))[0]
        assert opened.translate_again(["abc"], DE_SW) == [f"{english}>>sw"]


def test_both_are_kept_busy():
    class Busy(Told):
        @contextmanager
        def open(self, device: str, cache: Path) -> Iterator[Any]:
            opened = _OpenTold({})
            opened.at_once = 32  # type: ignore[attr-defined]
            yield opened

    for translator, expected in (
        (Pivot(first=Told(), second=Told()), 1),
        (Pivot(first=Told(), second=Busy()), 32),
        (Memory(files=("m.tsv",), fallback=Busy()), 32),
        (Memory(files=("m.tsv",)), 1),
    ):
        with translator.open("cpu", Path("unused")) as opened:
            assert opened.at_once == expected


def test_how_both_run_is_passed_on():
    class Runs(Told):
        @contextmanager
        def open(self, device: str, cache: Path) -> Iterator[Any]:
            opened = _OpenTold({})
            opened.running = f"on {device}"  # type: ignore[attr-defined]
            yield opened

    for translator, expected in (
        (Pivot(first=Told(), second=Told()), None),
        (Pivot(first=Told(), second=Runs()), "second: on cpu"),
        (Pivot(first=Runs(), second=Runs()), "first: on cpu; second: on cpu"),
        (Memory(files=("m.tsv",), fallback=Runs()), "on cpu"),
        (Memory(files=("m.tsv",), fallback=Told()), None),
        (Memory(files=("m.tsv",)), None),
    ):
        with translator.open("cpu", Path("unused")) as opened:
            assert opened.running == expected


def test_usage_is_added():
    with Pivot(first=Told(), second=Told()).open("cpu", Path("unused")) as opened:
        opened.translate(["x"], DE_SW)
        opened.translate(["x"], Pair("en", "sw"))
        assert opened.usage() == {"requests": 3, "words": 1.0}


def test_failures_are_passed_on():
    class Fails(Told):
        @contextmanager
        def open(self, device: str, cache: Path) -> Iterator[Any]:
            opened = _OpenTold({})
            opened.raise_failure = lambda: _raise(LangxferError("gone"))  # type: ignore[attr-defined]
            yield opened

    for translator in (
        Pivot(first=Fails(), second=Told()),
        Pivot(first=Told(), second=Fails()),
        Memory(files=("m.tsv",), fallback=Fails()),
    ):
        with translator.open("cpu", Path("unused")) as opened, pytest.raises(LangxferError, match="gone"):
            opened.raise_failure()
    for translator in (Pivot(first=Told(), second=Told()), Memory(files=("m.tsv",), fallback=Told())):
        with translator.open("cpu", Path("unused")) as opened:
            opened.raise_failure()


def _raise(error: Exception) -> None:
    raise error


def test_the_device_counts_where_it_does_inside():
    class Elsewhere(Told):
        device_counts = False  # type: ignore[misc]

    assert Told().device_counts and Pivot(first=Told(), second=Elsewhere()).device_counts
    assert Pivot(first=Elsewhere(), second=Told()).device_counts
    assert not Pivot(first=Elsewhere(), second=Elsewhere()).device_counts
    assert Memory(files=("m.tsv",), fallback=Told()).device_counts
    assert not Memory(files=("m.tsv",), fallback=Elsewhere()).device_counts
    assert not Memory(files=("m.tsv",)).device_counts


def test_a_translator_that_cannot_do_its_part():
    pivot = Pivot(through="fr", first=Told(), second=Told(speaks=("fr", "sw")))
    sentence = 'translator "pivot" cannot go from de to fr (first): translator "told" does not speak fr. It speaks: '
    assert pivot.cannot(DE_SW) == f"{sentence}de, en, sw"
    with pytest.raises(RecipeError, match=r"cannot go from de to fr \(first\)"):
        translate(pivot, ["x"])
    assert pivot.cannot(Pair("fr", "sw")) is None
    assert pivot.languages() == {"de", "en", "fr", "sw"}
    assert Pivot(first=Told(), second=Memory(files=("m.tsv",))).languages() is None
    with pytest.raises(ValidationError, match='"xx" is not a known language tag'):
        Pivot(through="xx", first=Told(), second=Told())


def test_a_translator_that_loses_segments_is_named():
    class Short(Told):
        @contextmanager
        def open(self, device: str, cache: Path) -> Iterator[Any]:
            opened = _OpenTold({})
            opened.translate = lambda segments, pair: []  # type: ignore[method-assign]
            yield opened

    said = r"the translator _OpenTold \(second of pivot\) gave 0 translations for 1 segments\. Expected one text"
    with pytest.raises(PluginError, match=said):
        translate(Pivot(first=Told(), second=Short()), ["x"])
    with pytest.raises(PluginError, match=r"\(first of pivot\) gave 1 translations, among them int for 1 segments"):
        translate(Pivot(first=Told(answers=(("x", 7),)), second=Told()), ["x"])


def test_the_unit_is_a_document_only_for_two_that_take_documents():
    class Whole(Told):
        unit = "document"  # type: ignore[misc]

    assert Pivot(first=Told(), second=Told()).unit == "sentence"
    assert Pivot(first=Whole(), second=Told()).unit == Pivot(first=Told(), second=Whole()).unit == "sentence"
    assert Pivot(first=Whole(), second=Whole()).unit == "document"
    assert Memory(files=("m.tsv",), fallback=Whole()).unit == "document"
    assert Memory(files=("m.tsv",)).unit == Memory(files=("m.tsv",), fallback=Told()).unit == "sentence"


def test_contract():
    check_translator(Pivot(first=FakeTranslator(), second=FakeTranslator(missing="planets")), DE_SW)
    check_translator(Pivot(first=Told(), second=Told(answers=(("Yes>en", Translation("Ndiyo", -0.1)),))), DE_SW)


RECIPE = """\
title: x
model: {source: org/model, template: alpaca}
data: {source: rows.jsonl, format: alpaca, source_language: de, target_languages: [sw], validation: 10}
translator:
  name: pivot
  through: THROUGH
  first: {name: memory, files: [de-en.tsv], fallback: {name: fake, speaks: [de, en]}}
  second:
    {name: fake, speaks: [en, sw]}
phases: [{objective: sft, selector: full}]
"""


def load(folder: Path, fake: Path, text: str) -> Any:
    (folder / "r.yaml").write_text(text)
    return load_recipe(str(folder / "r.yaml"), plugins.load([fake])).recipe.translator


def test_nested_in_a_recipe(tmp_path, fake_plugin):
    (tmp_path / "de-en.tsv").write_text("de\ten\nGuten Tag\tGood day\n")
    pivot = load(tmp_path, fake_plugin, RECIPE.replace("THROUGH", "en"))
    assert type(pivot) is Pivot and type(pivot.first) is Memory
    assert pivot.first.files == (str(tmp_path / "de-en.tsv"),)  # paths inside are taken from the recipe's folder
    with pivot.second.open("cpu", Path("unused")) as opened:
        (expected,) = opened.translate(["Good day"], Pair("en", "sw"))
    assert translate(pivot, [" Guten Tag\n"]) == [f" {expected}\n"]
    before = pivot.what()
    (tmp_path / "de-en.tsv").write_text("de\ten\nGuten Tag\tHello\n")
    assert pivot.what() != before and before["first"]["files"][0].startswith("sha256:")


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        (RECIPE.replace("THROUGH", "fr"), 4, 'cannot go from fr to sw (second): translator "fake" does not speak fr.'),
        (RECIPE.replace("THROUGH", "xx"), 6, '"xx" is not a known language tag'),
        (RECIPE.replace("THROUGH", "en").replace("{name: fake, speaks: [en", "{name: fake, speeks: [en"), 9, "speaks"),
        (RECIPE.replace("THROUGH", "en").replace("{name: fake, speaks: [en", "{name: fakir, xs: [en"), 9, '"fake"?'),
    ],
)
def test_what_is_wrong_inside_is_said_with_its_line(tmp_path, fake_plugin, text, place, sentence):
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, fake_plugin, text)
    assert f"r.yaml:{place}  " in str(caught.value) and sentence in str(caught.value)


class Unmanaged(Told):
    """``open`` without ``@contextmanager``."""

    name: Literal["unmanaged"] = "unmanaged"

    def open(self, device: str, cache: Path) -> Any:
        return _OpenTold({})


@pytest.mark.parametrize(
    "whole", [Pivot(first=Told(), second=Unmanaged(), through="en"), Memory(files=("a.tmx",), fallback=Unmanaged())]
)
def test_a_translator_inside_that_opens_no_context_is_named(whole: Translator, tmp_path: Path) -> None:
    said = r'^translator "unmanaged": open gives a _OpenTold; expected a context manager'
    with pytest.raises(PluginError, match=said), whole.open("cpu", tmp_path):
        pass
