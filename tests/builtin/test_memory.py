"""Translation memories, from files of every kind."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from langxfer.builtin.memory import Memory
from langxfer.components import Pair, Translation
from langxfer.errors import DataError, PluginError
from langxfer.testing import FakeTranslator, check_translator
from langxfer.translation import open_pipeline, read_units

EN_DE = Pair("en", "de")
TICO = Path(__file__).parents[3] / "shared" / "data" / "tico19" / "all.en-sw.tmx"


def memory(folder: Path, name: str, text: str, **options) -> Memory:
    (folder / name).write_text(text, encoding="utf-8")
    return Memory(files=(name,), **options).resolve(folder)


def translate(translator: Memory, segments: list[str], pair: Pair = EN_DE) -> list[str | None]:
    with translator.open("cpu", Path("unused")) as opened:
        return opened.translate(segments, pair)


FILES = {
    "memory.tsv": "en\tde\nHello\tHallo\nGood day\tGuten Tag\n",
    "memory.jsonl": '{"id": 1, "en": "Hello", "de": "Hallo"}\n\n{"de": "Guten Tag", "en": "Good day"}\n',
    "memory.tmx": (
        '<?xml version="1.0"?><tmx version="1.4"><header srclang="en"/><body>'
        '<tu><tuv xml:lang="en-US"><seg>Hello</seg></tuv><tuv xml:lang="DE_de"><seg>Hallo</seg></tuv></tu>'
        '<tu><tuv xml:lang="de"><seg>Guten Tag</seg></tuv><tuv xml:lang="en"><seg>Good day</seg></tuv></tu>'
        "</body></tmx>"
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_looks_up_in_either_direction(tmp_path, name):
    translator = memory(tmp_path, name, FILES[name])
    assert translate(translator, ["Good day", "Bye", "Hello", "Hello"]) == ["Guten Tag", None, "Hallo", "Hallo"]
    assert translate(translator, ["Guten Tag"], Pair("de", "en")) == ["Good day"]


def test_white_space_around_segments_and_entries(tmp_path):
    translator = memory(tmp_path, "m.tsv", "en\tde\n Hello \t Hallo \n")
    assert translate(translator, ["  Hello\n", "Hello", "He llo"]) == ["  Hallo\n", "Hallo", None]
    assert translate(translator, ["", " \n"]) == ["", " \n"]


def test_case_counts_unless_told(tmp_path):
    text = "en\tde\nHello\tHallo\n"
    assert translate(memory(tmp_path, "m.tsv", text), ["HELLO"]) == [None]
    assert translate(memory(tmp_path, "m.tsv", text, case_sensitive=False), ["HELLO"]) == ["Hallo"]


def test_the_first_of_contradicting_entries_wins_over_files_in_order(tmp_path):
    (tmp_path / "a.tsv").write_text("en\tde\nHello\tHallo\nHello\tServus\n")
    (tmp_path / "b.tsv").write_text("en\tde\nHello\tMoin\nBye\tTschüss\n", encoding="utf-8")
    ab = Memory(files=("a.tsv", "b.tsv")).resolve(tmp_path)
    ba = Memory(files=("b.tsv", "a.tsv")).resolve(tmp_path)
    assert translate(ab, ["Hello", "Bye"]) == ["Hallo", "Tschüss"]
    assert translate(ba, ["Hello"]) == ["Moin"]
    assert ab.what() != ba.what()


def test_an_entry_without_a_translation_is_none_at_all(tmp_path):
    assert translate(memory(tmp_path, "m.tsv", "en\tde\nHello\t \nHello\tHallo\n"), ["Hello"]) == ["Hallo"]


def test_a_fallback_gets_what_is_missing_and_nothing_else(tmp_path):
    (tmp_path / "more.tsv").write_text("en\tde\nHello\tFALSCH\nBye\tTschüss\n", encoding="utf-8")
    translator = memory(tmp_path, "m.tsv", "en\tde\nHello\tHallo\n", fallback=Memory(files=("more.tsv",)))
    assert translate(translator, ["Bye", "Hello", "Thanks"]) == ["Tschüss", "Hallo", None]


def test_a_direction_that_no_file_has(tmp_path):
    alone = memory(tmp_path, "m.tsv", FILES["memory.tsv"])
    with pytest.raises(DataError, match=r"no entry from en to sw\. Languages in there: de, en"):
        translate(alone, ["Hello"], Pair("en", "sw"))
    (tmp_path / "sw.tsv").write_text("en\tsw\nHello\tHabari\n")
    backed = memory(tmp_path, "m.tsv", FILES["memory.tsv"], fallback=Memory(files=("sw.tsv",)))
    assert translate(backed, ["Hello"], Pair("en", "sw")) == ["Habari"]


def test_identity_is_about_contents(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    here, there = (memory(folder, "m.tsv", FILES["memory.tsv"]) for folder in (tmp_path, tmp_path / "elsewhere"))
    assert here.what() == there.what()
    assert here.what() != here.model_copy(update={"case_sensitive": False}).what()
    backed = [here.model_copy(update={"fallback": fallback}) for fallback in (here, there)]
    assert backed[0].what() == backed[1].what() != here.what()
    (tmp_path / "elsewhere" / "m.tsv").write_text("en\tde\n")
    assert here.what() != there.what()
    assert backed[0].what() != backed[1].what()  # a fallback's file counts as well
    json.dumps(backed[0].what())


def test_relative_files_are_taken_from_the_recipe(tmp_path):
    translator = Memory(files=("a.tsv",), fallback=Memory(files=("b.tmx", "/c.jsonl"))).resolve(tmp_path)
    assert translator.files == (str(tmp_path / "a.tsv"),)
    assert translator.fallback.files == (str(tmp_path / "b.tmx"), "/c.jsonl")


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    translator = Memory(files=(str(tmp_path / "no.tsv"),))
    for ask in (translator.what, lambda: translate(translator, ["Hello"])):
        with pytest.raises(DataError, match=r"no\.tsv: cannot read the translation memory \(No such file"):
            ask()


@pytest.mark.parametrize("files", [(), ("memory.xlsx",), ("a.tmx", "b")])
def test_wrong_files_are_refused(files):
    with pytest.raises(ValidationError):
        Memory(files=files)


def test_speaks_what_its_files_speak():
    assert Memory(files=("a.tsv",)).languages() is None


def test_whole_documents_are_looked_up_without_the_fallback(tmp_path):
    (tmp_path / "more.tsv").write_text("en\tde\nBye\tTschüss\n", encoding="utf-8")
    text = '{"en": "Hello.\\nGood day.", "de": "Hallo.\\nGuten Tag."}\n{"en": "Hello.", "de": "Hallo."}\n'
    translator = memory(tmp_path, "m.jsonl", text, fallback=Memory(files=("more.tsv",)), min_similarity=0.5)
    with translator.open("cpu", Path("unused")) as opened:
        found = opened.look_up(["Hello.\nGood day.\n", " Hello.", "Hello", "Bye", ""], EN_DE)
    assert found == ["Hallo.\nGuten Tag.\n", " Hallo.", None, None, None]


FUZZY = "en\tde\nIt takes 3 days.\tEs dauert 3 Tage.\nIt takes days.\tEs dauert Tage.\nHello\tHallo\n"


def test_similar_entries_are_off_by_default_and_scored_when_on(tmp_path):
    assert translate(memory(tmp_path, "m.tsv", FUZZY), ["It took 3 days."]) == [None]
    fuzzy = memory(tmp_path, "m.tsv", FUZZY, min_similarity=0.7)
    segments = [" It took 3 days.", "It takes 3 days.", "It takes 4 days.", "Something else", " "]
    assert translate(fuzzy, segments) == [
        Translation(" Es dauert 3 Tage.", math.log(1 - 4 / 16)),
        "Es dauert 3 Tage.",
        None,  # other numbers
        None,
        " ",
    ]
    assert translate(memory(tmp_path, "m.tsv", FUZZY, min_similarity=0.95), ["It took 3 days."]) == [None]
    assert memory(tmp_path, "m.tsv", FUZZY).what() != fuzzy.what()


def test_what_was_found_is_counted(tmp_path):
    fuzzy = memory(tmp_path, "m.tsv", FUZZY, min_similarity=0.7)
    with fuzzy.open("cpu", Path("unused")) as opened:
        assert opened.usage() == {}
        opened.look_up(["Hello", "Hella"], EN_DE)
        opened.translate(["Hello", "Hella", "Helli", "Something else", ""], EN_DE)
        assert opened.usage() == {"equal": 2, "similar": 2, "missing": 1}


def test_segments_count_once_however_often_they_are_asked_for(tmp_path):
    """The pipeline asks again, and for parts, what its translator says is cut; such are no texts of the document."""

    class Cut(FakeTranslator):
        def open(self, device, cache):
            def translate(segments, pair):
                return [Translation(segment, problem="truncated") for segment in segments]

            return nullcontext(SimpleNamespace(translate=translate))

    segment = "First there is one thing, then there is another thing, and then there is a third thing."
    translator = memory(tmp_path, "m.tsv", "en\tde\nHello.\tHallo.\n", fallback=Cut())
    with open_pipeline(translator, "cpu", tmp_path, [EN_DE]) as pipeline:
        assert [document.problem for document in pipeline.documents([segment, segment], EN_DE)] == ["truncated"] * 2
        assert pipeline.usage == {"equal": 0, "missing": 1}
        assert [document.text for document in pipeline.documents([f"{segment} Hello."], EN_DE)] == [None]
        assert pipeline.usage == {"equal": 1, "missing": 1}
    with open_pipeline(translator, "cpu", tmp_path, [EN_DE]) as pipeline:
        assert [document.text for document in pipeline.documents(["Ah. Hello. Ah."], EN_DE)] == [None]
        assert pipeline.usage == {"equal": 0, "missing": 1}  # the other one is in the cache
    with translator.open("cpu", Path("unused")) as opened:
        opened.translate(["Bye", "Hello.", "Bye", "Hello."], EN_DE)
        opened.translate_again(["Bye"], EN_DE)
        opened.translate(["Bye bye"], EN_DE)
        assert opened.usage() == {"equal": 1, "missing": 2}


@pytest.mark.parametrize(
    ("unit", "expected"), [("document", ["The sea. Rain. Another one."]), ("sentence", ["Another one."])]
)
def test_a_fallback_of_whole_documents_gets_them_whole(tmp_path, unit, expected):
    asked = []

    class Own(FakeTranslator):
        def open(self, device, cache):
            return nullcontext(SimpleNamespace(translate=lambda segments, pair: asked.extend(segments) or segments))

    Own.unit = unit
    translator = memory(tmp_path, "m.tsv", "en\tde\nRain.\tRegen.\nThe sea.\tDas Meer.\n", fallback=Own())
    with open_pipeline(translator, "cpu", tmp_path, [EN_DE]) as pipeline:
        list(pipeline.documents(["The sea. Rain. Another one.", "Rain."], EN_DE))
    assert asked == expected


def test_a_similar_entry_goes_before_the_fallback(tmp_path):
    (tmp_path / "more.tsv").write_text("en\tde\nHella\tFALSCH\nBye\tTschüss\n", encoding="utf-8")
    fuzzy = memory(tmp_path, "m.tsv", FUZZY, min_similarity=0.7, fallback=Memory(files=("more.tsv",)))
    assert translate(fuzzy, ["Hella", "Bye"]) == [Translation("Hallo", math.log(1 - 1 / 5)), "Tschüss"]


@given(st.text(alphabet="ab 1", min_size=1), st.lists(st.text(alphabet="ab 1", min_size=1), min_size=1, max_size=8))
def test_the_most_similar_entry_is_found(tmp_path_factory, text, sources):
    """Against edit distance by definition, over all entries with the same numbers."""
    assume(text.strip() and all(source.strip() for source in sources))
    text, sources = text.strip(), list(dict.fromkeys(source.strip() for source in sources))
    path = tmp_path_factory.mktemp("fuzzy") / "m.tsv"
    path.write_text("en\tde\n" + "".join(f"{source}\t{n}\n" for n, source in enumerate(sources)))
    similarities = [
        (1 - distance(text, source) / max(len(text), len(source))) if numbers(text) == numbers(source) else 0.0
        for source in sources
    ]
    (found,) = translate(Memory(files=(str(path),), min_similarity=0.6), [text])
    best = max(similarities)
    assume(abs(best - 0.6) > 1e-9)
    if best < 0.6:
        assert found is None
    elif best == 1:
        assert found == str(sources.index(text))
    else:
        assert abs(similarities[int(found.text)] - best) < 1e-9 > abs(math.exp(found.score) - best)


def numbers(text: str) -> list[str]:
    return [part for part in "".join(c if c.isdigit() else " " for c in text).split() if part]


def distance(one: str, other: str) -> int:
    """Edits between two texts, by the recurrence of Wagner and Fischer."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, row = row, [i]
        for j, b in enumerate(other, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
    return row[-1]


@pytest.mark.parametrize("similarity", [0, 1, -0.1, 1.5])
def test_a_similarity_that_means_nothing_is_refused(similarity):
    with pytest.raises(ValidationError):
        Memory(files=("m.tsv",), min_similarity=similarity)


def test_a_second_try_asks_the_fallback_with_other_settings(tmp_path):
    class Again(FakeTranslator):
        def open(self, device, cache):
            return nullcontext(
                SimpleNamespace(
                    translate=lambda segments, pair: ["first" for _ in segments],
                    translate_again=lambda segments, pair: ["second" for _ in segments],
                    usage=lambda: {"requests": 2},
                )
            )

    text = "en\tde\nHello\tHallo\n"
    for fallback, expected in ((Again(), ["Hallo", "second"]), (None, ["Hallo", None])):
        with memory(tmp_path, "m.tsv", text, fallback=fallback).open("cpu", Path("unused")) as opened:
            assert opened.translate_again(["Hello", "Bye"], EN_DE) == expected
            assert opened.usage() == ({"requests": 2} if fallback else {})  # counted when they were asked for first
    with memory(tmp_path, "m.tsv", text, fallback=FakeTranslator(missing="y")).open("cpu", Path("unused")) as opened:
        assert opened.translate_again(["Hello", "Bye"], EN_DE) == ["Hallo", None]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([], "0 translations for 2 segments"),
        (["a", "b", "c"], "3 translations for 2 segments"),
        (["a", 7], "2 translations, among them int for 2 segments"),
        (None, "NoneType for 2 segments"),
    ],
)
def test_a_fallback_that_breaks_the_contract_is_named(tmp_path, answers, said):
    class Broken(FakeTranslator):
        def open(self, device, cache):
            return nullcontext(SimpleNamespace(translate=lambda segments, pair: answers))

    broken = memory(tmp_path, "m.tsv", "en\tde\nHello\tHallo\n", fallback=Broken())
    with pytest.raises(PluginError, match=rf"SimpleNamespace \(fallback of memory\) gave {said}\. Expected one text"):
        translate(broken, ["Bye", "Hello", "Thanks"])


def test_contract(tmp_path):
    check_translator(memory(tmp_path, "m.tsv", "en\tde\nYes\tJa\nGood morning\tGuten Morgen\n"), EN_DE)
    backed = memory(tmp_path, "m.tsv", "en\tde\nYes\tJa\nGood morning\tGuten Morgen\n", fallback=FakeTranslator())
    check_translator(backed.model_copy(update={"min_similarity": 0.9}), EN_DE)


@pytest.mark.skipif(not TICO.is_file(), reason="needs TICO-19 (all.en-sw.tmx)")
def test_a_real_memory():
    """TICO-19 (arXiv 2007.01788) has 3071 units, some of them alike in English."""
    translator = Memory(files=(str(TICO),))
    with translator.open("cpu", Path("unused")) as opened:
        swahili = opened.translate(
            ["and along with a fever", " about how long have these symptoms been going on?\n", "not in there"],
            Pair("en", "sw"),
        )
        assert swahili == [
            "pamoja na joto jingi mwilini",
            " je, dalili hizi zimekuwa zikiendelea kwa takriban muda gani sasa?\n",
            None,
        ]
        assert opened.translate(["pamoja na joto jingi mwilini"], Pair("sw", "en")) == ["and along with a fever"]
        sizes = [len(entries.targets) for entries in opened._entries.values()]
    assert all(2900 < size <= 3071 for size in sizes)


@pytest.mark.skipif(not TICO.is_file(), reason="needs TICO-19 (../shared/data/tico19)")
@pytest.mark.parametrize(("tag", "distinct"), [("id", 3070), ("sw", 3070), ("zh", 3070)])
def test_all_of_tico_19_loads(tag, distinct):
    path = TICO.with_name(f"all.en-{tag}.tmx")
    units = list(read_units(path))
    assert len(units) == 3071
    assert all([found for found, _ in unit] == ["en", tag] for unit in units)
    sources = [dict(unit)["en"].strip() for unit in units]
    with Memory(files=(str(path),)).open("cpu", Path("unused")) as opened:
        found = opened.translate(sources, Pair("en", tag))
        assert None not in found and len(opened._entries[Pair("en", tag)].targets) == distinct
