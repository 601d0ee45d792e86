"""From rows to parallel examples, with a translator whose answers can be foretold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest

from langxfer.components import Drop, Filter, Pair
from langxfer.data import ParallelExample, Turn
from langxfer.engine.formats import Rejected, SourceRow
from langxfer.engine.translate import CHUNK, build_examples
from langxfer.errors import PluginError
from langxfer.recipe import Data


class Marking:
    """Translates ``x`` to ``TAG(x)``; what begins with "?" it does not know, "!" it loses."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | None]:
        self.calls.append((str(pair), list(segments)))
        return [None if x[0] == "?" else " " if x[0] == "!" else f"{pair.target}({x})" for x in segments]


class Shortest(Filter):
    """Drops what is shorter than ``characters``."""

    name: Literal["shortest"] = "shortest"
    characters: int

    def judge(self, example: ParallelExample) -> Drop | None:
        length = len(example.source.response)
        return Drop("too short", length) if length < self.characters else None


class Shouting(Filter):
    """Drops what shouts."""

    name: Literal["shouting"] = "shouting"

    def judge(self, example: ParallelExample) -> Drop | None:
        return Drop("shouts", 1.0) if example.target.response.isupper() else None


def data_of(
    format: str = "alpaca", languages: tuple[str, ...] = ("de", "sw"), filters: tuple[Filter, ...] = ()
) -> Data:
    return Data(source="x.jsonl", format=format, target_languages=languages, filters=filters)


def row(name: str, prompt: str, response: str, **more: tuple[str, str]) -> SourceRow:
    turns = {"en": Turn(prompt, response, "en")}
    return SourceRow(name, turns | {tag: Turn(*texts, tag) for tag, texts in more.items()})


def test_examples_come_by_row_then_by_language() -> None:
    rows = [row("2", "Why?", "So."), row("1", "Who?", "Me.")]
    examples, lost = build_examples(rows, data_of(languages=("sw", "de")), Marking(), "marking")
    assert not lost
    assert [example.id for example in examples] == ["2/sw", "2/de", "1/sw", "1/de"]
    assert examples[1] == ParallelExample(
        "2/de", Turn("Why?", "So.", "en"), Turn("de(Why?)", "de(So.)", "de"), "marking"
    )


def test_each_text_is_translated_once_a_language_in_chunks() -> None:
    rows = [row(str(n), "Same question?", f"Answer {n // 2}") for n in range(2 * CHUNK)]
    translator, seen = Marking(), []
    examples, _ = build_examples(rows, data_of(), translator, "marking", lambda *at: seen.append(at))
    assert len(examples) == 4 * CHUNK
    total = 2 * (CHUNK + 1)
    assert seen == [(CHUNK, total), (CHUNK + 1, total), (2 * CHUNK + 1, total), (total, total)]
    assert [pair for pair, _ in translator.calls] == ["en-de", "en-de", "en-sw", "en-sw"]
    german = [text for pair, texts in translator.calls if pair == "en-de" for text in texts]
    assert len(german) == len(set(german)) and german[:2] == ["Same question?", "Answer 0"]


def test_what_has_no_translation_is_lost_with_a_reason() -> None:
    rows = [
        row("a", "?", "So."),
        row("b", "Why?", "?"),
        row("c", "!", "So."),
        row("d", "Why?", "!"),
        row("e", "Ok?", "Ok"),
    ]
    examples, lost = build_examples(rows, data_of(languages=("de",)), Marking(), "marking")
    assert [example.id for example in examples] == ["e/de"]
    assert lost == [
        Rejected("a/de", "no translation of the prompt"),
        Rejected("b/de", "no translation of the response"),
        Rejected("c/de", "the translation of the prompt is empty"),
        Rejected("d/de", "the translation of the response is empty"),
    ]


def test_parallel_rows_need_no_translator() -> None:
    whole = row("a", "Why?", "So.", de=("Warum?", "Darum."), sw=("Kwa nini?", "Basi."))
    part = SourceRow("b", row("b", "Who?", "Me.", sw=("Nani?", "Mimi.")).turns, {"de": "de: empty response"})
    bare = row("c", "Who?", "Me.", sw=("Nani?", "Mimi."))
    examples, lost = build_examples([whole, part, bare], data_of("parallel"), None, "parallel")
    assert [example.id for example in examples] == ["a/de", "a/sw", "b/sw", "c/sw"]
    assert examples[0].target == Turn("Warum?", "Darum.", "de") and examples[0].provenance == "parallel"
    assert lost == [Rejected("b/de", "de: empty response"), Rejected("c/de", 'no side "de"')]


def test_the_first_filter_that_drops_gives_the_reason() -> None:
    rows = [
        row("short", "Why?", "SO", de=("Warum?", "SO")),
        row("loud", "Why?", "BECAUSE", de=("Warum?", "DARUM")),
        row("fine", "Why?", "Because", de=("Warum?", "Darum")),
    ]
    data = data_of("parallel", ("de",), (Shortest(characters=3), Shouting()))
    examples, lost = build_examples(rows, data, None, "parallel")
    assert [example.id for example in examples] == ["fine/de"]
    assert lost == [Rejected("short/de", "shortest: too short"), Rejected("loud/de", "shouting: shouts")]


@pytest.mark.parametrize(("answer", "found"), [(["x"], "1 translations for 2"), (["x", 3], "among them int")])
def test_a_translator_that_breaks_its_contract_is_named(answer: list, found: str) -> None:
    class Broken:
        def translate(self, segments: Sequence[str], pair: Pair) -> list:
            return answer

    with pytest.raises(PluginError, match=found):
        build_examples([row("a", "Why?", "So.")], data_of(languages=("de",)), Broken(), "broken")
