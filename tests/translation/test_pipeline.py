"""The pipeline, with translators whose answers can be foretold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langxfer.components import OpenTranslator, Pair, Translation, Translator
from langxfer.errors import LangxferError, PluginError, RecipeError
from langxfer.translation import Document, Pipeline, SegmentCache, open_pipeline, pipeline

EN_DE = Pair("en", "de")
LOOP = "on and on and " * 9


class Scripted:
    """Answers in capitals, or as ``answers`` and ``again`` say; remembers what it was asked."""

    def __init__(self, answers: dict[str, object] | None = None, again: dict[str, object] | None = None):
        self.answers, self.calls, self.again_calls = answers or {}, [], []
        if again is not None:
            self.translate_again = lambda segments, pair: self._again(segments, again)

    def translate(self, segments: Sequence[str], pair: Pair) -> list[object]:
        self.calls.append(list(segments))
        return [self.answers.get(segment, Translation(segment.upper(), -0.5)) for segment in segments]

    def _again(self, segments: Sequence[str], again: dict[str, object]) -> list[object]:
        self.again_calls.append(list(segments))
        return [again.get(segment, LOOP) for segment in segments]

    @property
    def asked(self) -> list[str]:
        return [segment for call in self.calls for segment in call]


def through(translator: object, cache: SegmentCache | None = None, unit: str = "sentence", **more: int) -> Pipeline:
    return Pipeline(translator, unit, cache, {"name": "scripted"}, **more)


def one(translator: object, text: str, unit: str = "sentence") -> Document:
    (document,) = through(translator, None, unit).documents([text], EN_DE)
    return document


# ---------------------------------------------------------------- documents


def test_a_document_is_taken_apart_and_put_together():
    text = "# Hello there\n\nThis is one. `x = 1` stays.\r\n\n* And this is two.\n"
    document = one(Scripted(), text)
    assert document.text == "# HELLO THERE\n\nTHIS IS ONE. `x = 1` STAYS.\r\n\n* AND THIS IS TWO.\n"
    assert document == Document(text, document.text, None, (-0.5,) * document.segments, document.segments, False, 0)
    assert document.segments == 4


@pytest.mark.parametrize("unit", ["sentence", "document"])
@pytest.mark.parametrize("text", ["", " \n", "42", "🙂 1 + 1 = 2\n"])
def test_what_says_the_same_in_every_language_is_not_sent(unit, text):
    translator = Scripted()
    assert one(translator, text, unit) == Document(text, text, None, (), 0, True)
    assert not translator.calls


def test_a_translator_of_documents_gets_them_whole():
    translator = Scripted()
    document = one(translator, "  One thing. Another.\n\n- and more\n", "document")
    assert translator.asked == ["One thing. Another.\n\n- and more"]
    assert document.text == "  ONE THING. ANOTHER.\n\n- AND MORE\n" and document.segments == 1


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(["One.", "And two.", "`x`", "Three?", "42"]), max_size=5).map(" ".join)),
    window=st.integers(1, 12),
)
def test_windows_change_nothing_but_when_documents_come(texts: list[str], window: int):
    everything = list(through(Scripted()).documents(texts, EN_DE))
    assert [document.source for document in everything] == texts
    assert list(through(Scripted(), window=window).documents(iter(texts), EN_DE)) == everything


def test_no_more_is_read_than_a_window():
    read = []

    def texts() -> Iterator[str]:
        for number in range(1000):
            read.append(number)
            yield f"This is document {number}."

    documents = through(Scripted(), window=10).documents(texts(), EN_DE)
    assert next(documents).source == "This is document 0." and len(read) == 10
    assert len([next(documents) for _ in range(10)]) == 10 and len(read) == 20


def test_documents_that_are_known_whole_are_not_taken_apart():
    class Knows(Scripted):
        def look_up(self, documents: Sequence[str], pair: Pair) -> list[object]:
            known = {"Good day. Well?": "Guten Tag. Na?", "Scored.": Translation("Bewertet.", -1.0)}
            return [known.get(document) for document in documents]

    translator = Knows()
    texts = ["Good day. Well?", "Other. Things.", "Scored."]
    through_it = through(translator)
    first, second, third = through_it.documents(texts, EN_DE)
    assert first == Document(texts[0], "Guten Tag. Na?", None, (), 1, False)
    assert third == Document(texts[2], "Bewertet.", None, (-1.0,), 1, False)
    assert second.text == "OTHER. THINGS." and translator.asked == ["Things.", "Other."]
    assert through_it.counts.known == 2 and through_it.counts.segments == 2


# ---------------------------------------------------------------- segments and the cache


def test_distinct_segments_go_out_once_longest_first(tmp_path):
    translator = Scripted()
    texts = ["Short. And this one is longer.", "Short. Middling one.", "Short."]
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        pipe = through(translator, cache)
        texts_in_capitals = [document.text for document in pipe.documents(texts, EN_DE)]
        assert texts_in_capitals == [text.upper() for text in texts]
        assert translator.asked == ["And this one is longer.", "Middling one.", "Short."]
        again = Scripted()
        second = through(again, cache)
        assert [document.text for document in second.documents(texts, EN_DE)] == texts_in_capitals
        assert not again.calls
    assert second.counts.facts() == {
        "documents": 3, "known": 0, "segments": 5, "cached": 3, "translated": 0, "retried": {}, "failed": {}
    }  # fmt: skip


def test_scores_and_retries_come_out_of_the_cache_too(tmp_path):
    translator = Scripted({"It loops at first.": LOOP}, again={"It loops at first.": Translation("Geht doch.", -2.0)})
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        (fresh,) = through(translator, cache).documents(["Fine. It loops at first."], EN_DE)
        (kept,) = through(Scripted(), cache).documents(["Fine. It loops at first."], EN_DE)
    assert fresh == kept and fresh.scores == (-0.5, -2.0) and fresh.retried == 1


def test_failures_are_not_kept_and_not_asked_for_twice_in_a_run(tmp_path):
    texts = ["Unknown. One.", "Two.", "Unknown. Three."]
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        translator = Scripted({"Unknown.": None})
        pipe = through(translator, cache, window=1)
        problems = [document.problem for document in pipe.documents(texts, EN_DE)]
        assert problems == ["missing", None, "missing"] and translator.asked.count("Unknown.") == 1
        assert pipe.counts.failed == {"missing": 1} and pipe.counts.translated == 4
        later = Scripted()
        assert [document.text for document in through(later, cache).documents(texts, EN_DE)] == [
            text.upper() for text in texts
        ]
        assert later.asked == ["Unknown."]


def test_chunks_are_kept_before_the_next_and_as_long_as_time_allows(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pipeline.time, "monotonic", lambda: now[0])
    seconds = 0.001  # a character

    class Slow(Scripted):
        def translate(self, segments: Sequence[str], pair: Pair) -> list[object]:
            now[0] += seconds * sum(map(len, segments))
            if len(self.calls) == 4:
                raise RuntimeError("out of memory")
            return super().translate(segments, pair)

    texts = [f"This is document number {number:05}." for number in range(2000)]
    length = len(texts[0])
    translator, later = Slow(), Scripted()
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        with pytest.raises(RuntimeError, match="out of memory"):
            list(through(translator, cache).documents(texts, EN_DE))
        first, *rest = map(len, translator.calls)
        assert first == pipeline.FIRST_CHUNK // length
        assert rest == [int(pipeline.COMMIT_SECONDS / seconds) // length] * 3
        list(through(later, cache).documents(texts, EN_DE))
    assert not {*translator.asked} & {*later.asked} and len(translator.asked) + len(later.asked) == 2000


@pytest.mark.parametrize("count", [None, 40])
def test_progress_is_in_segments(count):
    seen: list[tuple[int, int | None]] = []
    texts = [f"One {number}. Same." for number in range(40)]
    source = iter(texts) if count is None else texts
    list(through(Scripted(), window=10).documents(source, EN_DE, lambda *at: seen.append(at)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == 80
    assert {total for _, total in seen} == ({None} if count is None else {80})


# ---------------------------------------------------------------- suspicious translations


def test_other_settings_come_first_and_parts_after_them():
    segment = "First there is one thing, then there is another thing."
    parts = ["First there is one thing,", "then there is another thing."]
    translator = Scripted({segment: LOOP}, again={segment: "Zuerst eins, dann noch etwas anderes."})
    document = one(translator, segment)
    assert document.text == "Zuerst eins, dann noch etwas anderes." and document.retried == 1
    assert translator.asked == [segment] and translator.again_calls == [[segment]]
    translator = Scripted({segment: LOOP}, again={})
    assert one(translator, segment).text == segment.upper()
    assert translator.calls == [[segment], parts] and translator.again_calls == [[segment]]
    translator = Scripted({segment: LOOP})
    document = one(translator, segment)
    assert document.text == segment.upper() and document.scores == (-0.5,) and document.retried == 1


def test_parts_are_parted_again_and_no_further_than_said():
    class Short(Scripted):
        """Cuts whatever has more than ``most`` words."""

        most = 2

        def translate(self, segments: Sequence[str], pair: Pair) -> list[object]:
            answers = super().translate(segments, pair)
            return [
                Translation(segment.upper(), problem="truncated") if len(segment.split()) > self.most else answer
                for segment, answer in zip(segments, answers, strict=True)
            ]

    text = " ".join(f"word{letter}" for letter in "abcdefghijklmnop")
    translator = Short()
    assert one(translator, text).text == text.upper()
    assert [len(call) for call in translator.calls] == [1, 2, 4, 8]
    translator.most = 1
    assert one(translator, text) == Document(text, None, "truncated", (), 1, False)
    translator.most = 0
    pipe = through(translator)
    list(pipe.documents([text, "Well?"], EN_DE))
    assert pipe.counts.failed == {"truncated": 2} and not pipe.counts.retried


def test_a_document_that_was_cut_is_tried_in_sentences():
    text = "One thing.\n\nAnother thing.\n"
    translator = Scripted({text.strip(): Translation("EINS", problem="truncated")})
    document = one(translator, text, "document")
    assert document.text == text.upper() and document.retried == 1
    assert translator.calls == [[text.strip()], ["One thing.", "Another thing."]]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (LOOP, "looping"),
        ("", "empty"),
        (Translation("Etwas", problem="truncated"), "truncated"),
        (Translation(None, problem="too many tokens"), "too many tokens"),
        ("abcdefghijklmnopqrstuvw" * 2 + "zyxwvutsrq", "too long"),
        (None, "missing"),
    ],
)
def test_what_stays_suspicious_is_never_accepted(tmp_path, answer, problem):
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        for _ in range(2):
            translator = Scripted({"Hopeless.": answer})
            pipe = through(translator, cache)
            bad, good = pipe.documents(["Fine. Hopeless.", "Fine."], EN_DE)
            assert bad == Document("Fine. Hopeless.", None, problem, (), 2, False)
            assert good.text == "FINE." and pipe.counts.failed == {problem: 1}
            assert "Hopeless." in translator.asked  # not kept, so asked for again


# ---------------------------------------------------------------- failures


class Failing(Scripted):
    """Translates the first segment of a call and fails; raises when it is asked to, or asked once more."""

    failure: LangxferError | None = None

    def translate(self, segments: Sequence[str], pair: Pair) -> list[object]:
        self.raise_failure()
        self.failure = LangxferError("the endpoint is gone")
        return [*super().translate(segments[:1], pair), *[None] * (len(segments) - 1)]

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure


@pytest.mark.parametrize("first", [Translation("EINS", -0.5), LOOP])
def test_what_came_before_a_failure_is_kept_and_no_document_is_made(tmp_path, first):
    texts = ["This is the longest.", "And this.", "Well?"]
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        documents = through(Failing({texts[0]: first}), cache).documents(texts, EN_DE)
        with pytest.raises(LangxferError, match="the endpoint is gone"):
            next(documents)
        later = Scripted()
        list(through(later, cache).documents(texts, EN_DE))
    assert later.asked == (texts if first == LOOP else texts[1:])


@pytest.mark.parametrize("method", ["translate_again", "translate"])
def test_a_failure_of_a_later_attempt_costs_nothing_of_the_first(tmp_path, method):
    """Other settings fail, or, where there are none, the parts do."""

    class Once(Scripted):
        def translate(self, segments: Sequence[str], pair: Pair) -> list[object]:
            return self.fail() if self.calls else super().translate(segments, pair)

        def fail(self) -> list[object]:
            raise LangxferError("the endpoint is gone")

    translator = Once({"It loops, and so it goes.": LOOP})
    if method == "translate_again":
        translator.translate_again = lambda segments, pair: translator.fail()
    texts = ["It loops, and so it goes.", "Fine."]
    with SegmentCache(tmp_path / "segments.sqlite") as cache:
        with pytest.raises(LangxferError, match="the endpoint is gone"):
            next(through(translator, cache).documents(texts, EN_DE))
        later = Scripted()
        list(through(later, cache).documents(texts, EN_DE))
    assert later.asked == texts[:1]


# ---------------------------------------------------------------- contracts


@pytest.mark.parametrize(("answer", "found"), [(["x"], "1 translations for 2"), (["x", 3], "among them int")])
@pytest.mark.parametrize("method", ["translate", "translate_again", "look_up"])
def test_a_translator_that_breaks_its_contract_is_named(method, answer, found):
    class Broken:
        def translate(self, segments: Sequence[str], pair: Pair) -> list[object]:
            return [LOOP for _ in segments]

    setattr(Broken, method, lambda self, segments, pair: answer)
    with pytest.raises(PluginError, match=f"the translator Broken gave .*{found}"):
        list(through(Broken()).documents(["One thing", "Two things"], EN_DE))


def test_a_language_that_nobody_knows_is_refused_at_once():
    with pytest.raises(RecipeError, match='"xx" is not a known language tag'):
        through(Scripted()).documents([], Pair("en", "xx"))


class Speaks(Translator):
    """Speaks English and German; opening it is noticed."""

    name: Literal["speaks"] = "speaks"

    def languages(self) -> frozenset[str]:
        return frozenset({"en", "de"})

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[OpenTranslator]:
        (cache / "opened").touch()
        yield Scripted()


@pytest.mark.parametrize(("tag", "message"), [("sw", "does not speak sw. It speaks: de, en"), ("xx", "not a known")])
def test_an_unspoken_language_is_refused_before_anything_is_opened(tmp_path, tag, message):
    with (
        pytest.raises(RecipeError, match=message),
        open_pipeline(Speaks(), "cpu", tmp_path, [EN_DE, Pair("en", tag)]),
    ):
        pass
    assert not list(tmp_path.iterdir())
    with open_pipeline(Speaks(), "cpu", tmp_path, [EN_DE]) as pipe:
        assert [document.text for document in pipe.documents(["Good day."], EN_DE)] == ["GOOD DAY."]
    with open_pipeline(Speaks(), "cpu", tmp_path, [EN_DE]) as pipe:
        list(pipe.documents(["Good day."], EN_DE))
        assert pipe.counts.cached == 1


@pytest.mark.parametrize("counts", [True, False])
def test_the_device_is_in_keys_where_it_counts(tmp_path, counts):
    class Somewhere(Speaks):
        device_counts = counts

    cached = []
    for device in ("cpu", "cuda", "cpu"):
        with open_pipeline(Somewhere(), device, tmp_path, [EN_DE]) as pipe:
            list(pipe.documents(["Good day."], EN_DE))
        cached.append(pipe.counts.cached)
    assert cached == ([0, 0, 1] if counts else [0, 1, 1])


def test_a_translator_of_many_requests_is_kept_busy(monkeypatch):
    """However long the texts and slow the answers, it gets as many segments as it works on at a time."""
    texts = [f"{'word ' * 2000}{number}." for number in range(10)]

    def sizes(translator: Scripted) -> list[int]:
        list(through(translator, None, "document").documents(texts, EN_DE))
        return [len(call) for call in translator.calls]

    monkeypatch.setattr(pipeline, "FASTER", 1)
    assert sizes(Scripted()) == [1] * 10
    busy = Scripted()
    busy.at_once = 4
    assert sizes(busy) == [4, 4, 2]
