"""From rows to parallel examples, with a translator whose answers can be foretold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pytest

from langxfer.components import Drop, Filter, Pair, Translation
from langxfer.data import ParallelExample, Turn, read_examples, read_jsonl
from langxfer.engine.formats import Rejected, SourceRow
from langxfer.engine.running import SaysHow
from langxfer.engine.translate import Built, build_examples, write
from langxfer.errors import PluginError
from langxfer.events import Notice
from langxfer.recipe import Data
from langxfer.translation import Pipeline


class Marking:
    """Translates ``x`` to ``TAG(x)``, score -length; knows no "Lost…", empties "Void…", goes round at "Loop…"."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def translate(self, segments: Sequence[str], pair: Pair) -> list[Translation]:
        self.calls.append((str(pair), list(segments)))
        odd = {"Lost": None, "Void": " ", "Loop": "again and " * 9}
        texts = [odd.get(segment[:4], f"{pair.target}({segment})") for segment in segments]
        return [Translation(text, -float(len(segment))) for text, segment in zip(texts, segments, strict=True)]


def through(translator: object, window: int = 8_000) -> Pipeline:
    return Pipeline(translator, "sentence", None, {}, window)


def apart(built: Iterable[Built]) -> tuple[list[ParallelExample], list[Rejected]]:
    """Examples that are used, and what is lost."""
    results = list(built)
    used = [item.example for item in results if item.example is not None and item.reason is None]
    return used, [Rejected(item.id, item.reason) for item in results if item.reason is not None]


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


@pytest.mark.parametrize("window", [1, 3, 8_000])
def test_examples_come_by_row_then_by_language(window: int) -> None:
    rows = [row("2", "Why?", "So. Or so."), row("1", "Who?", "Me.")]
    examples, lost = apart(build_examples(rows, data_of(languages=("sw", "de")), through(Marking(), window), "marking"))
    assert not lost
    assert [example.id for example in examples] == ["2/sw", "2/de", "1/sw", "1/de"]
    assert examples[1] == ParallelExample(
        "2/de", Turn("Why?", "So. Or so.", "en"), Turn("de(Why?)", "de(So.) de(Or so.)", "de"), "marking"
    )


def test_each_segment_is_translated_once_a_language() -> None:
    rows = [row(str(n), "Same question?", f"Answer {n // 2}. And more.") for n in range(100)]
    translator, seen = Marking(), []
    built = build_examples(rows, data_of(), through(translator), "marking", lambda *at: seen.append(at))
    assert len(list(built)) == 200
    for tag in ("de", "sw"):
        asked = [text for pair, texts in translator.calls if pair == f"en-{tag}" for text in texts]
        assert len(asked) == len(set(asked)) == 52
        assert asked == sorted(asked, key=len, reverse=True)
    assert seen[-1] == (600, 600) and seen == sorted(seen)
    assert {total for _, total in seen} == {600}  # the second language counts before it begins


def test_progress_reaches_its_total_over_many_windows() -> None:
    rows = [row(str(n), f"Question {n}?", "Yes. " * n + "No.") for n in range(50)]
    seen: list[tuple[int, int]] = []
    list(build_examples(rows, data_of(), through(Marking(), 20), "marking", lambda *at: seen.append(at)))
    segments = 2 * sum(1 + n + 1 for n in range(50))
    assert seen[-1] == (segments, segments)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= total for done, total in seen)


def test_what_has_no_translation_is_lost_with_a_reason() -> None:
    rows = [
        row("a", "Lost?", "So."),
        row("b", "Why?", "So. Lost."),
        row("c", "Void?", "So."),
        row("d", "Why?", "Loop."),
        row("e", "Ok?", "Ok."),
        row("f", "Ok?", "Loop. Lost. Void. Loop."),
    ]
    examples, lost = apart(build_examples(rows, data_of(languages=("de",)), through(Marking()), "marking"))
    assert [example.id for example in examples] == ["e/de"]
    assert lost == [
        Rejected("a/de", "translation of the prompt: missing"),
        Rejected("b/de", "translation of the response: missing"),
        Rejected("c/de", "translation of the prompt: empty"),
        Rejected("d/de", "translation of the response: looping"),
        Rejected("f/de", "translation of the response: looping, missing, empty"),
    ]


def test_files_are_written_as_examples_come(tmp_path: Path) -> None:
    rows = [
        row("a", "Why?", "So it is. Or not."),
        row("b", "Who?", "Loop."),
        row("c", "12", "Not."),
        row("d", "Hm?", "SO."),
    ]
    data = data_of(languages=("de",), filters=(Shortest(characters=4),))
    built = build_examples(rows, data, through(Marking()), "marking")
    tally = write(tmp_path, built, [Rejected("x", "empty prompt")], frozenset({"a"}))
    assert [example.id for example in read_examples(tmp_path / "validation.jsonl")] == ["a/de"]
    (kept,) = read_examples(tmp_path / "train.jsonl")
    assert kept == ParallelExample("c/de", Turn("12", "Not.", "en"), Turn("12", "de(Not.)", "de"), "marking")
    assert list(read_jsonl(tmp_path / "dropped.jsonl")) == [
        {"row": "x", "reason": "empty prompt"},
        {
            "row": "b/de",
            "reason": "translation of the response: looping",
            "measure": None,
            "source": {"prompt": "Who?", "response": "Loop.", "language": "en"},
            "target": None,
        },
        {
            "row": "d/de",
            "reason": "shortest: too short",
            "measure": 3,
            "source": {"prompt": "Hm?", "response": "SO.", "language": "en"},
            "target": {"prompt": "de(Hm?)", "response": "de(SO.)", "language": "de"},
        },
    ]
    facts = {row["id"]: row for row in read_jsonl(tmp_path / "translation.jsonl")}
    assert facts["a/de"] == {
        "id": "a/de", "prompt_segments": 1, "response_segments": 2, "score": -(4 + 9 + 7) / 3, "retried": 0,
        "problem": None,
    }  # fmt: skip
    assert facts["b/de"]["problem"] == "looping"
    assert facts["c/de"]["prompt_segments"] == 0 and facts["c/de"]["score"] == -4
    assert list(facts) == ["a/de", "b/de", "c/de", "d/de"]
    assert tally.parts == {"train": 1, "validation": 1} and tally.reasons.total() == 3


def test_parallel_rows_need_no_translator() -> None:
    whole = row("a", "Why?", "So.", de=("Warum?", "Darum."), sw=("Kwa nini?", "Basi."))
    part = SourceRow("b", row("b", "Who?", "Me.", sw=("Nani?", "Mimi.")).turns, {"de": "de: empty response"})
    bare = row("c", "Who?", "Me.", sw=("Nani?", "Mimi."))
    examples, lost = apart(build_examples([whole, part, bare], data_of("parallel"), None, "parallel"))
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
    examples, lost = apart(build_examples(rows, data, None, "parallel"))
    assert [example.id for example in examples] == ["fine/de"]
    assert lost == [Rejected("short/de", "shortest: too short"), Rejected("loud/de", "shouting: shouts")]


@pytest.mark.parametrize(("answer", "found"), [(["x"], "1 translations for 2"), (["x", 3], "among them int")])
def test_a_translator_that_breaks_its_contract_is_named(answer: list, found: str) -> None:
    class Broken:
        def translate(self, segments: Sequence[str], pair: Pair) -> list:
            return answer

    with pytest.raises(PluginError, match=found):
        list(build_examples([row("a", "Why?", "So.")], data_of(languages=("de",)), through(Broken()), "broken"))


def test_how_the_translator_runs_is_said_once_and_when_it_does():
    class Opened:
        running = None

        def translate(self, segments, pair):
            self.running = "on two threads"
            return [segment.upper() for segment in segments]

    told: list[object] = []
    pipeline = Pipeline(Opened(), "sentence", None, {}, window=1)
    progress = SaysHow(pipeline, told.append).before(lambda done, total: told.append(done))
    list(pipeline.documents(["1 + 1", "one cat", "two cats"], Pair("en", "de"), progress))
    assert told.count(Notice("on two threads")) == 1
    assert told.index(Notice("on two threads")) < len(told) - 2
