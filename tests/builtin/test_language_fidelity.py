"""Language fidelity: verdicts on real sentences by our rules, and scores by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langxfer.builtin.evaluators.language_fidelity import LanguageFidelity, Rules
from langxfer.builtin.evaluators.outcomes import Outcome
from langxfer.components import Evaluation, Evidence, Generation, Prompt, Sampling, Score
from langxfer.languages import LANGUAGES
from tests.rows import untested

DATA = Path(__file__).parents[2].parent / "shared/data"
GERMAN = "Die Katze schläft den ganzen Tag auf dem Sofa."
SENTENCES = {
    "en": "The cat sleeps on the sofa all day long.",
    "de": GERMAN,
    "sw": "Paka hulala kwenye kochi mchana kutwa.",
    "id": "Kucing itu tidur di sofa sepanjang hari.",
    "yo": "Ológbò náà ń sùn lórí àga ní gbogbo ọjọ́.",
    "zh": "猫整天在沙发上睡觉。",
    "ja": "猫は一日中ソファで寝ています。",
    "ko": "고양이는 하루 종일 소파에서 잠을 잔다.",
    "th": "แมวนอนบนโซฟาทั้งวัน",
}


@cache
def rules(**options: float) -> Rules:
    return LanguageFidelity(**options).rules(tuple(tag for tag in LANGUAGES if LANGUAGES[tag].identifier))


def judge(answer: str, tag: str, prompt: str = "", **options: float) -> Outcome:
    return rules(**options)(answer, prompt, tag)


@pytest.mark.parametrize("spoken", SENTENCES)
@pytest.mark.parametrize("due", SENTENCES)
def test_full_and_wrong_in_every_combination(spoken: str, due: str) -> None:
    found = judge(SENTENCES[spoken], due)
    assert found.verdict == ("full" if spoken == due else "wrong")
    assert found.detected == spoken
    assert found.confidence is not None and 0.1 <= found.confidence <= 1


@pytest.mark.parametrize(
    ("answer", "tag", "verdict"),
    [
        ("", "de", "empty"),
        (" \n\t", "de", "empty"),
        ("Ja.", "de", "too_short"),
        ("42", "de", "too_short"),
        ("1 + 1 = 2, 3 * 4 = 12", "de", "too_short"),
        ("!!! ... ???", "de", "too_short"),
        ("```python\nprint('hello world, how are you')\n```", "de", "too_short"),
        ("`the` `quick brown` https://example.org/the/fox a.b@example.org", "de", "too_short"),
        ("```\nthis fence is never closed and holds English", "de", "too_short"),
        ("~~~\nthis fence is never closed and holds English", "de", "too_short"),
        ("~~~ python\nprint('hello world, how are you')\n~~~", "de", "too_short"),
        (f"  ~~~~\nEnglish is in the code of this answer\n  ~~~~\n{GERMAN}", "de", "full"),
        (f"{GERMAN} So: ```python\nfor the sake of the test, English is in the code\n```", "de", "full"),
        (f"{GERMAN} So: ```python\nfor the sake of the test, English is in the code", "de", "full"),
        (f"```\nprint('English is in the code')```\n{GERMAN}", "de", "full"),
        (f"Ja, ```print('English is in the code')``` {GERMAN}", "de", "full"),
        ("네~~~ 안녕하세요! 저는 오늘 기분이 아주 좋습니다.", "ko", "full"),
        ("Halo~~~ apa kabar? Saya akan menjelaskan bagaimana hujan terjadi di daerah tropis.", "id", "full"),
        ("~~~ 안녕하세요! ~~~\n저는 오늘 기분이 아주 좋습니다.", "ko", "full"),
        (f"Ja~~~\n{SENTENCES['en']}\nNein~~~", "de", "wrong"),
        (f"Mit ``` beginnt ein Block. {SENTENCES['en']}", "ko", "wrong"),
        ("是", "zh", "too_short"),
        ("是的", "zh", "full"),
        ("ใช่", "th", "full"),
        ("네, 그렇습니다", "ko", "full"),
        ("Yes", "ko", "too_short"),
        ("Yes, indeed", "ko", "wrong"),
        ("xq zzq", "de", "unknown"),
        ("Paris Berlin", "de", "unknown"),
        (
            f"{GERMAN}\n```\nfor the sake of the test, a lot of English is in the code of this answer\n```",
            "de",
            "full",
        ),
        (f"{GERMAN} Siehe https://example.org/a/very/long/address/in/the/english/language/of/the/web", "de", "full"),
        (f"{GERMAN}\n\n{SENTENCES['en']}", "de", "mixed"),
        (f"{SENTENCES['en']}\n{GERMAN}", "en", "mixed"),
        (f"{GERMAN}\nOh yes\n{GERMAN}", "de", "full"),
        (f"{SENTENCES['ko']}\n{SENTENCES['ja']}", "ko", "mixed"),
    ],
)
def test_verdicts(answer: str, tag: str, verdict: str) -> None:
    assert judge(answer, tag).verdict == verdict


def test_options_move_the_borders() -> None:
    assert judge("Ja, natürlich doch.", "de", min_words=4).verdict == "too_short"
    assert judge("是的", "zh", min_words=3).verdict == "too_short"
    assert judge("The spider has eight legs.", "en", min_confidence=0.99).verdict == "unknown"
    assert judge("Paris Berlin", "de", min_confidence=0).verdict == "wrong"


def test_twins_count_as_right_and_only_they() -> None:
    malay = "Saya tidak boleh datang ke pejabat kerana kereta saya rosak di jalan raya."
    assert judge(malay, "id") == judge(malay, "ms")
    assert judge(malay, "id").verdict == "full"
    assert judge(malay, "jv").verdict == "wrong"


def test_scripts_are_told_exactly() -> None:
    traditional, simplified = "貓整天在沙發上睡覺，從來不抓老鼠。", "猫整天在沙发上睡觉，从来不抓老鼠。"
    assert judge(traditional, "zh-Hant").verdict == judge(simplified, "zh").verdict == "full"
    assert judge(traditional, "zh").verdict == judge(simplified, "zh-Hant").verdict == "wrong"
    assert "another script" in (judge(traditional, "zh").detected or "")
    assert judge(f"{simplified}\n{traditional}", "zh").verdict == "mixed"
    assert judge("인공지능(AI)은 GPU와 CUDA를 씁니다.", "ko").verdict == "full"
    assert judge("Goyangineun haru jongil sopaeseo jameul janda.", "ko").verdict == "wrong"


def test_what_an_answer_quotes_of_its_prompt_is_no_evidence() -> None:
    english = "the quick brown fox jumps over the lazy dog"
    answer = (
        f'Der Satz "The quick brown fox jumps over the lazy dog" ist ein Pangramm.\n> {english}\n{english}\n{GERMAN}'
    )
    assert judge(answer, "de", f"Was ist besonders an:\n{english}").verdict == "full"
    assert judge(answer, "de", "Was ist ein Pangramm?").verdict == "mixed"
    assert judge(GERMAN, "de", f"Setze fort:\n{GERMAN}").verdict == "too_short"
    assert judge("„Guten Tag, wie geht es dir?“", "de", "Sag etwas Nettes.").verdict == "full"


def test_english_words_are_found_inside_other_scripts(tmp_path: Path) -> None:
    sentence = (
        "저는 컴퓨터(computer)와 python3, iPhone을 아주 좋아하고 매일 아침마다 internet도 즐겁게 사용하고 있습니다."
    )
    assert judge(sentence, "ko").english == ("computer", "internet")
    assert judge(GERMAN, "de").english is None
    assert judge(SENTENCES["en"], "ko").english is None
    (tmp_path / "words").write_text("computer\nInternet\nabc\n", encoding="utf-8")
    listed = LanguageFidelity(words=str(tmp_path / "words")).rules(["ko"])
    assert listed(sentence, "", "ko").english == ("computer",)


def test_languages_that_langxfer_does_not_know_are_never_found() -> None:
    known = {label for language in LANGUAGES.values() for label in language.identifier}
    assert "pcm" not in known
    assert judge("Dem no know wetin dey happen", "en", min_confidence=0).detected in known


# ---------------------------------------------------------------- scores


def generation(number: int, text: str, tag: str, finished: bool = True) -> Generation:
    return Generation(Prompt(f"{number}/{tag}", f"question {number}", tag), text, 5, finished)


def evaluate(*answers: Generation, **options: object) -> tuple[dict[str, Score], Evaluation]:
    evaluation = LanguageFidelity(**options).evaluate(Evidence((), answers, {}))
    return {score.name.removeprefix("language_fidelity/"): score for score in evaluation.scores}, evaluation


def test_scores_by_hand() -> None:
    texts = [GERMAN, GERMAN, GERMAN, SENTENCES["en"], SENTENCES["en"], "", "Ja.", "xq zzq", "", f"{GERMAN}\n" * 2]
    texts[8] = f"{GERMAN}\n{SENTENCES['en']}"
    answers = [generation(i, text, "de", finished=i != 5) for i, text in enumerate(texts)]
    scores, evaluation = evaluate(*answers, generation(0, f"{SENTENCES['ko']} computer", "ko"))
    assert {name: (score.value, score.n) for name, score in scores.items()} == {
        "de": (40.0, 10),
        "de/coverage": (pytest.approx(70.0), 10),
        "de/lines": (pytest.approx(100 * 4 / 7), 7),
        "de/mixed": (10.0, 10),
        "de/wrong": (20.0, 10),
        "de/unknown": (10.0, 10),
        "de/too_short": (10.0, 10),
        "de/empty": (10.0, 10),
        **{"ko": (100.0, 1), "ko/coverage": (100.0, 1), "ko/lines": (100.0, 1), "ko/words": (0.0, 1)},
        **{f"ko/{verdict}": (0.0, 1) for verdict in ("mixed", "wrong", "unknown", "too_short", "empty")},
    }
    german = scores["de"]
    assert german.standard_error == pytest.approx(100 * math.sqrt(0.4 * 0.6 / 10))
    assert (german.unit, german.higher_is_better, scores["de/empty"].higher_is_better) == ("%", True, False)
    made = "rules:langxfer-3|temp:0|max_new_tokens:96|min_words:2|min_confidence:0.1|n:10"
    assert german.signature.startswith(f"id:py3langid-{version('py3langid')}|{made}|prompts:")
    parts = ("coverage", "mixed", "wrong", "unknown", "too_short", "empty")
    assert untested(evaluation) == {f"language_fidelity/{tag}/{part}" for tag in ("de", "ko") for part in parts}
    row = dict(evaluation.rows[5])
    assert row.pop("scores") == {"language_fidelity/de": 0.0}
    assert row == {
        **{"id": "5/de", "language": "de", "prompt": "question 5", "answer": "", "verdict": "empty", "score": 0.0},
        **{"detected": None, "confidence": None, "right_lines": 0, "wrong_lines": 0, "english": None},
        "finished": False,
    }
    assert sum(row["score"] for row in evaluation.rows if row["language"] == "de") == 4
    assert evaluation.rows[10]["english"] == ["computer"]


@pytest.mark.parametrize("answer", ["", "?", "xq zzq"])
def test_where_nothing_can_be_judged_there_is_no_fidelity_and_no_coverage(answer: str) -> None:
    scores, _ = evaluate(*(generation(i, answer, "de") for i in range(4)))
    assert (scores["de"].value, scores["de"].standard_error, scores["de"].n) == (None, None, 4)
    assert scores["de/lines"].value is None
    assert scores["de/coverage"].value == 0.0


def test_a_model_that_always_answers_in_english() -> None:
    tags = ("en", "de", "ko", "zh", "sw", "yo", "id")
    scores, _ = evaluate(*(generation(i, SENTENCES["en"], tag) for i in range(3) for tag in tags))
    assert {tag: scores[tag].value for tag in tags} == {tag: 100.0 * (tag == "en") for tag in tags}
    assert all(scores[f"{tag}/coverage"].value == 100 for tag in tags)


def test_prompts_that_ask_for_another_language_are_named() -> None:
    texts = ("Translate into French: the sea.", "Who was the first to translate Homer?", "What is the sea?")
    prompts = [Prompt(f"{n}/en", text, "en") for n, text in enumerate(texts)]
    prompts.append(Prompt("3/de", "Translate into French: das Meer.", "de"))
    answers = [Generation(prompt, SENTENCES["en"], 5, True) for prompt in prompts]
    (note,) = LanguageFidelity().evaluate(Evidence((), answers, {})).notes
    assert "2 English prompts ask for a translation" in note and "(0/en, 1/en)" in note
    assert not LanguageFidelity().evaluate(Evidence((), answers[2:], {})).notes


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", "Ja.", GERMAN, SENTENCES["en"], "xq zzq", "42"]), min_size=1, max_size=12))
def test_the_shares_are_of_all_prompts_and_leave_nothing_out(texts: list[str]) -> None:
    scores, _ = evaluate(*(generation(i, text, "de") for i, text in enumerate(texts)))
    shares = [scores[f"de/{verdict}"].value for verdict in ("mixed", "wrong", "unknown", "too_short", "empty")]
    full, wrong = texts.count(GERMAN), texts.count(SENTENCES["en"])
    assert scores["de/coverage"].value == pytest.approx(100 * (full + wrong) / len(texts))
    if full + wrong:
        assert scores["de"].value == pytest.approx(100 * full / len(texts))
    assert 100 * full / len(texts) + math.fsum(share for share in shares if share is not None) == pytest.approx(100)


@settings(deadline=None)
@given(st.text(), st.sampled_from(sorted(SENTENCES)), st.text())
def test_every_answer_has_a_verdict(answer: str, tag: str, prompt: str) -> None:
    found = judge(answer, tag, prompt)
    assert found.verdict in ("full", "mixed", "wrong", "unknown", "too_short", "empty")
    assert (found.detected is None) == (found.verdict in ("too_short", "empty"))


def test_sampling_and_signature_follow_the_options() -> None:
    sampled = LanguageFidelity(max_new_tokens=32, temperature=0.7, top_p=0.9, seed=3)
    assert sampled.sampling() == Sampling(32, 0.7, 0.9, 3)
    assert LanguageFidelity().sampling() == Sampling(96, 0.0, 1.0, 0)
    text = sampled.evaluate(Evidence((), [generation(1, GERMAN, "de")], {})).scores[0].signature
    assert "|temp:0.7|top_p:0.9|seed:3|max_new_tokens:32|" in text
    other = sampled.evaluate(Evidence((), [generation(2, GERMAN, "de")], {})).scores[0].signature
    assert other != text


# ---------------------------------------------------------------- real text

NTREX = {
    **{"en": "eng-US", "de": "deu", "id": "ind", "ko": "kor", "sw": "swa", "yo": "yor", "zh": "zho-CN"},
}


def verdicts(texts: Sequence[str], tag: str) -> Counter[str]:
    return Counter(judge(text, tag).verdict for text in texts)


@pytest.mark.parametrize("tag", NTREX)
def test_real_sentences_and_documents_are_recognised(tag: str) -> None:
    path = next((DATA / "ntrex").glob(f"newstest2019-*.{NTREX[tag]}.txt"), None)
    if path is None:
        pytest.skip("no NTREX sentences beside the repository (../shared/data/ntrex)")
    sentences = path.read_text(encoding="utf-8").splitlines()[:304]
    documents = ["\n".join(sentences[start : start + 8]) for start in range(0, len(sentences), 8)]
    other = "de" if tag != "de" else "en"
    assert verdicts(sentences, tag)["full"] >= 0.99 * len(sentences)
    assert verdicts(sentences, other)["wrong"] >= 0.99 * len(sentences)
    assert verdicts(documents, tag)["full"] >= len(documents) - 1  # one quotes a French line
    assert verdicts(documents, other)["wrong"] >= len(documents) - 1
