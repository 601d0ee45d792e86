"""The filters of built-in: boundaries of every option, laws, and false alarms that are known."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langxfer.builtin import register_filters
from langxfer.builtin.filters import (
    Alphanumeric,
    Empty,
    Identical,
    LanguageFilter,
    LanguageTask,
    LengthRatio,
    Repetition,
    Untranslated,
)
from langxfer.builtin.filters.length_ratio import finished, sentence_count
from langxfer.components import Drop, Filter
from langxfer.data import ParallelExample, Turn
from langxfer.testing import check_filter

ENGLISH = "The ship left the harbour early in the morning, before anyone in the town was awake."
GERMAN = "Das Schiff verließ den Hafen früh am Morgen, bevor irgendjemand in der Stadt wach war."
SIMPLIFIED = "船在清晨离开了港口，当时镇上还没有人醒来。"
TRADITIONAL = "船在清晨離開了港口，當時鎮上還沒有人醒來。"
KOREAN = "마을 사람들이 아무도 깨어나기 전인 이른 아침에 배가 항구를 떠났다."
YORUBA = "Ọkọ̀ ojú omi náà kúrò ní èbúté ní kùtùkùtù òwúrọ̀ kí ẹnikẹ́ni tó jí ní ìlú náà."


def pair(source: str, target: str, tag: str = "de", prompts: tuple[str, str] = ("?", "?")) -> ParallelExample:
    return ParallelExample("1", Turn(prompts[0], source, "en"), Turn(prompts[1], target, tag))


def reason(filter_: Filter, *texts: str, **more: object) -> str | None:
    drop = filter_.judge(pair(*texts, **more))
    return drop.reason if drop else None


@pytest.mark.parametrize("kind", register_filters(), ids=lambda kind: kind.__name__)
def test_each_keeps_the_contract_and_a_good_translation(kind: type[Filter]) -> None:
    check_filter(kind(), [pair(ENGLISH, GERMAN), pair(ENGLISH, SIMPLIFIED, "zh"), pair(ENGLISH, YORUBA, "yo")])
    for text, tag in ((GERMAN, "de"), (SIMPLIFIED, "zh"), (TRADITIONAL, "zh-Hant"), (KOREAN, "ko"), (YORUBA, "yo")):
        assert kind().judge(pair(ENGLISH, text, tag, (ENGLISH, text))) is None


@pytest.mark.parametrize(
    "kind",
    [kind for kind in register_filters() if kind not in (Identical, LanguageTask)],
    ids=lambda kind: kind.__name__,
)
def test_texts_says_which_ones_are_looked_at(kind: type[Filter]) -> None:
    signs, invisible = "<<<{{ ` `x` 4711 %%% ``` ]]]]]]]]]]", "\u200b"
    bad = (signs, invisible) if kind in (Empty, Alphanumeric) else (ENGLISH + " `4711`", ENGLISH * 4)
    good = (ENGLISH, GERMAN)
    responses, prompts = pair(*bad, prompts=good), pair(*good, prompts=bad)
    looked = {"response": [responses], "prompt": [prompts], "either": [responses, prompts]}
    for texts, expected in looked.items():
        assert [e for e in (responses, prompts) if kind(texts=texts).judge(e)] == expected, texts


# ---------------------------------------------------------------- empty


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\u200d", "\ufeff", "\u200e \u2028", "\x00"])
def test_what_cannot_be_seen_is_empty(text: str) -> None:
    assert Empty().judge(pair(ENGLISH, text)) == Drop("empty response", 0.0)
    assert Empty().judge(pair(text, GERMAN)) == Drop("empty response", 0.0)


def test_visible_characters_are_counted() -> None:
    assert Empty(min_characters=3, texts="response").judge(pair("yes", "\u200bj a\n")) == Drop("empty response", 2.0)
    assert Empty(min_characters=2, texts="response").judge(pair("yes", "\u200bj a\n")) is None
    assert Empty().judge(pair("😀", "4")) is None


# ---------------------------------------------------------------- alphanumeric


def test_the_share_of_signs() -> None:
    text = "abcdefghijklmn" + "-" * 6  # 6 of 20
    assert Alphanumeric().judge(pair(text, GERMAN)) is None
    assert Alphanumeric(max_share=0.29).judge(pair(text, GERMAN)) == Drop("mostly signs in the response", 0.3)
    assert reason(Alphanumeric(), GERMAN, text[1:] + "-") == "mostly signs in the response"


def test_short_texts_and_tone_marks_are_let_pass() -> None:
    assert reason(Alphanumeric(), "Oh, no!", ":-)") is None
    assert reason(Alphanumeric(min_characters=3), "Oh, no!", ":-)") == "mostly signs in the response"
    hindi, marks = "यह एक बहुत ही सुंदर दिन है और हम खुश हैं", "e\u0301" * 20
    assert reason(Alphanumeric(max_share=0.0), hindi, marks) is None


# ---------------------------------------------------------------- length ratio


def test_bounds_of_the_usual_length() -> None:
    source = "x" * 99 + "."  # 100 characters; of one language into itself the usual length is 100
    one = {"factors": {"de": 1.0}}
    for length, expected in ((45, "truncated response"), (46, None), (304, None), (305, "too long response")):
        assert reason(LengthRatio(**one), source, "y" * (length - 1) + ".") == expected, length
    for length, expected in ((89, "truncated response"), (90, None)):
        assert reason(LengthRatio(**one), source, "y" * length) == expected, length
    assert reason(LengthRatio(**one, unfinished_ratio=0), source, "y" * 89) is None
    assert reason(LengthRatio(**one, slack=0), source, "y" * 48 + ".") == "truncated response"
    assert reason(LengthRatio(**one, min_ratio=0.2), source, "y" * 44 + ".") is None
    assert reason(LengthRatio(**one, max_ratio=2), source, "y" * 250 + ".") == "too long response"
    assert reason(LengthRatio(factors={"de": 3.0}), source, "y" * 99 + ".") == "truncated response"


def test_a_missing_full_stop_counts_only_where_the_source_has_one() -> None:
    heading = ENGLISH.rstrip(".")
    most = GERMAN[: int(len(GERMAN) * 0.85)]
    assert reason(LengthRatio(), heading, most) is None
    assert reason(LengthRatio(), ENGLISH, most) == "truncated response"
    assert reason(LengthRatio(), ENGLISH, most + ".”") is None
    assert reason(LengthRatio(), f"„{ENGLISH}“", most) == "truncated response"


def test_fewer_sentences_or_no_full_stop_to_miss_raise_the_bound() -> None:
    one = {"factors": {"de": 1.0}}
    two, heading = "x" * 49 + ". " + "x" * 49 + ".", "x" * 100
    for length, expected in ((60, "truncated response"), (61, None)):
        assert reason(LengthRatio(**one), two, "y" * (length - 1) + ".") == expected, length
        assert reason(LengthRatio(**one), heading, "y" * length) == expected, length
    assert reason(LengthRatio(**one), two, "y" * 20 + ". " + "y" * 30 + ".") is None
    assert reason(LengthRatio(**one, doubtful_ratio=0.5), heading, "y" * 50) is None
    assert reason(LengthRatio(**one, doubtful_ratio=0.9), heading, "y" * 80) == "truncated response"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two? Three!", 3),
        ("Pi is 3.14 here", 1),
        ('"Go." He went.', 2),
        ("一。二！三", 3),
        ("他说：“好。”她走了。", 2),
        ("", 1),
        ("...", 1),
    ],
)
def test_sentences_are_counted_by_their_ends(text: str, sentences: int) -> None:
    assert sentence_count(text) == sentences


def test_marks_on_a_full_stop_and_a_colon() -> None:
    assert finished("ìrẹ̀lẹ.̀”") and not finished("He wrote:")


def test_dense_scripts_are_weighed() -> None:
    assert len(SIMPLIFIED) < len(ENGLISH) / 3
    assert reason(LengthRatio(), ENGLISH, SIMPLIFIED, tag="zh") is None
    assert reason(LengthRatio(), ENGLISH, SIMPLIFIED[:8], tag="zh") == "truncated response"
    assert LengthRatio().judge(ParallelExample("1", Turn("?", SIMPLIFIED, "zh"), Turn("?", ENGLISH, "en"))) is None


@pytest.mark.parametrize(("factors", "said"), [({"xx": 1.0}, "not a known language tag"), ({"de": 0.0}, "above 0")])
def test_factors_are_checked(factors: dict[str, float], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LengthRatio(factors=factors)


@given(st.text(min_size=1, max_size=200), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_lower_bound_drops_no_more(text: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    example = pair(ENGLISH, text)
    if LengthRatio(min_ratio=low).judge(example):
        assert LengthRatio(min_ratio=high).judge(example)


# ---------------------------------------------------------------- repetition


@pytest.mark.parametrize("phrase", ["Stadt", "in der", "in der Stadt wach war.", "ni", "a b c d e f g"])
def test_a_phrase_three_times_in_a_row(phrase: str) -> None:
    assert Repetition().judge(pair(ENGLISH, f"Das Schiff {phrase} {phrase} {phrase}")) == Drop("looping response", 3.0)
    assert reason(Repetition(), ENGLISH, f"Das Schiff {phrase} {phrase}") is None
    assert reason(Repetition(times=2), ENGLISH, f"Das Schiff {phrase} {phrase}") == "looping response"
    assert reason(Repetition(times=4, min_unique=0), ENGLISH, f"Das Schiff {phrase} {phrase} {phrase}") is None


def test_chinese_phrases_have_two_characters() -> None:
    assert reason(Repetition(), ENGLISH, SIMPLIFIED + "港口港口港口", tag="zh") == "looping response"
    assert reason(Repetition(), ENGLISH, "哈哈哈，" + SIMPLIFIED, tag="zh") is None


def test_the_source_may_repeat_itself() -> None:
    assert reason(Repetition(), "No, no, no, no!", "Nein, nein, nein!") is None
    assert reason(Repetition(), "No, no, no, no!", "Nein, nein, nein, nein, nein!") == "looping response"
    chorus = "Row, row, row your boat gently down the stream. " * 8
    assert reason(Repetition(), chorus, "Ruder, ruder, ruder dein Boot sanft den Fluss hinab. " * 8) is None


def test_loops_that_are_not_in_a_row() -> None:
    varied = " ".join(f"{n} das ist der Anfang vom Ende der Welt und noch viel mehr" for n in range(12))
    long_source = " ".join(f"word{n}" for n in range(80))
    assert reason(Repetition(), long_source, varied) == "repetitive response"
    assert reason(Repetition(min_unique=0, min_compressed=0), long_source, varied) is None
    assert reason(Repetition(), long_source, "lo" * 200) == "compressible response"
    assert reason(Repetition(min_compressed=0), long_source, "lo" * 200) is None


# ---------------------------------------------------------------- untranslated


def test_a_sentence_that_stayed() -> None:
    mixed = f"{ENGLISH} {GERMAN}"
    measure = Untranslated().judge(pair(f"{ENGLISH} {ENGLISH}", mixed)).measure
    assert 0.4 < measure < 0.6
    assert reason(Untranslated(max_copied=0.6), ENGLISH, mixed) is None
    assert reason(Untranslated(), ENGLISH, mixed.upper()) == "untranslated response"
    assert reason(Untranslated(words=17), ENGLISH, mixed) is None
    assert reason(Untranslated(words=16), ENGLISH, mixed) == "untranslated response"


def test_names_titles_and_code_may_stay() -> None:
    assert (
        reason(
            Untranslated(), "She is at Rady Children's Hospital San Diego.", "Sie: Rady Children's Hospital San Diego."
        )
        is None
    )
    code = "```\nfor word in list of all words print the word\n```"
    assert reason(Untranslated(), code, code) is None
    title = "They sang we all live in a submarine."  # a known false alarm: a title of plain words
    assert reason(Untranslated(), title, "Sie sangen we all live in a submarine.") == "untranslated response"


# ---------------------------------------------------------------- language


@pytest.mark.parametrize(
    ("text", "tag", "said"),
    [
        (ENGLISH, "de", "target response in another language"),
        (GERMAN, "sw", "target response in another language"),
        (GERMAN, "yo", "target response in another language"),
        (KOREAN, "zh", "target response in another script"),
        (SIMPLIFIED, "ko", "target response in another script"),
        (ENGLISH, "ko", "target response in another script"),
        (TRADITIONAL, "zh", "target response in another Chinese script"),
        (SIMPLIFIED, "zh-Hant", "target response in another Chinese script"),
    ],
)
def test_another_language_or_script(text: str, tag: str, said: str) -> None:
    assert reason(LanguageFilter(), ENGLISH, text, tag=tag) == said


def test_options_of_the_language_filter() -> None:
    swapped = pair(GERMAN, GERMAN)
    assert LanguageFilter().judge(swapped).reason == "source response in another language"
    assert LanguageFilter(sides="target").judge(swapped) is None
    assert LanguageFilter(sides="source").judge(pair(ENGLISH, ENGLISH)) is None
    short = "Good morning, ladies and gentlemen"  # five words
    assert reason(LanguageFilter(), ENGLISH, short) == "target response in another language"
    assert reason(LanguageFilter(min_words=6), ENGLISH, short) is None
    sure = LanguageFilter().judge(pair(ENGLISH, ENGLISH)).measure
    assert reason(LanguageFilter(min_probability=min(1.0, sure + 1e-6)), ENGLISH, ENGLISH) is None or sure == 1
    mixed = "The International Monetary Fund 라고 하는 국제 기구"
    assert reason(LanguageFilter(min_script=0.9), ENGLISH, mixed, tag="ko") == "target response in another script"
    assert reason(LanguageFilter(min_script=0.1), ENGLISH, mixed, tag="ko") != "target response in another script"


def test_code_is_no_evidence_and_unknown_languages_are_judged_by_script() -> None:
    code = f"```\n{ENGLISH}\n```\n`{ENGLISH}` https://example.org/the/ship/left/the/harbour"
    assert reason(LanguageFilter(), ENGLISH, code) is None
    assert reason(LanguageFilter(), ENGLISH, "Ang barko mibiya sa pantalan sayo sa buntag.", tag="ceb") is None
    assert reason(LanguageFilter(), ENGLISH, KOREAN, tag="ceb") == "target response in another script"


# ---------------------------------------------------------------- language task


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Translate into French: I am hungry.", "translation task"),
        ("How do you say good night in Japanese?", "translation task"),
        ("What does the German word Angst mean?", "word of a language"),
        ("Correct the grammar in this sentence: He go home.", "grammar task"),
        ("Change the sentence to passive voice.", "grammar task"),
        ("Give me five words that rhyme with sun.", "task on letters and sounds"),
        ("How many letters are in the word sea?", "task on letters and sounds"),
        ("Write a haiku about snow.", "task on letters and sounds"),
        ("Find a synonym for happy.", "task on words"),
    ],
)
def test_tasks_about_language(prompt: str, said: str) -> None:
    assert reason(LanguageTask(), ENGLISH, GERMAN, prompts=(prompt, "…")) == said
    assert reason(LanguageTask(english=False), ENGLISH, GERMAN, prompts=(prompt, "…")) is None


@pytest.mark.parametrize(
    "prompt",
    [
        "What is the capital of France?",
        "Who won the German elections in 2021?",
        "Why was the English army defeated?",
        "Write a letter to my landlord.",
        "Rewrite the following sentence to be shorter.",
        "Describe how translational research works.",
        "Give me a recipe for Spanish omelette.",
        "What is a prime number?",
    ],
)
def test_other_tasks_stay(prompt: str) -> None:
    assert reason(LanguageTask(), ENGLISH, GERMAN, prompts=(prompt, "…")) is None


def test_the_instruction_is_searched_and_not_what_it_works_on() -> None:
    passage = "Coimbatore (also spelled Koya; Tamil pronunciation) is a city.\n\n" + "It has the verb of a city. " * 20
    assert reason(LanguageTask(), ENGLISH, GERMAN, prompts=(f"Where is it?\n\n{passage}", "…")) is None
    assert reason(LanguageTask(), ENGLISH, GERMAN, prompts=(f"{passage}\n\nTranslate this.", "…")) == "translation task"


def test_patterns_of_the_recipe() -> None:
    own = LanguageTask(patterns=("übersetze", r"\bsentence\b"))
    assert reason(own, ENGLISH, GERMAN, prompts=("…", "Übersetze ins Deutsche")) == "pattern 1 of the recipe"
    assert reason(own, ENGLISH, GERMAN, prompts=("One SENTENCE on cats", "…")) == "pattern 2 of the recipe"
    with pytest.raises(ValidationError, match="not a regular expression"):
        LanguageTask(patterns=("(",))


# ---------------------------------------------------------------- cost


def test_long_texts_take_a_time_that_is_linear_in_their_length() -> None:
    """Nothing quadratic: 40,000 characters, of the sorts that regular expressions stumble over."""
    size = 40_000
    texts = [(piece * size)[:size] for piece in ("word ", "a", "1", "1,", "1만", "`", "{", "<a", "😀", ENGLISH)]
    start = time.process_time()
    for kind in register_filters():
        if kind is not Identical:  # it compares one text with the other, and says so
            for text in texts:
                kind().judge(pair(text, text[::-1], prompts=(text, text)))
    assert time.process_time() - start < 30
