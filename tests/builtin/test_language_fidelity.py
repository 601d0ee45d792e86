"""Language fidelity: verdicts on real sentences, prompts from files and examples, scores by hand, errors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import langxfer
from langxfer.builtin.evaluators.language_fidelity import Judgement, LanguageFidelity, load_identifier
from langxfer.components import Evidence, Generation, Prompt, Sampling
from langxfer.data import ParallelExample, Turn
from langxfer.errors import DataError
from langxfer.languages import LANGUAGES

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
classify = load_identifier()


def judge(answer: str, tag: str, **options: float) -> Judgement:
    return LanguageFidelity(**options).judge(answer, tag, classify)


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("spoken", SENTENCES)
@pytest.mark.parametrize("due", SENTENCES)
def test_right_and_wrong_in_every_combination(spoken: str, due: str) -> None:
    found = judge(SENTENCES[spoken], due)
    assert found.verdict == ("right" if spoken == due else "wrong")
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
        ("是", "zh", "too_short"),
        ("是的", "zh", "right"),
        ("ใช่", "th", "right"),
        ("xq zzq", "de", "unknown"),
        ("Paris Berlin", "de", "unknown"),
        (
            f"{GERMAN}\n```\nfor the sake of the test, a lot of English is in the code of this answer\n```",
            "de",
            "right",
        ),
        (f"{GERMAN} Siehe https://example.org/a/very/long/address/in/the/english/language/of/the/web", "de", "right"),
    ],
)
def test_what_cannot_be_told_is_not_counted_as_an_answer(answer: str, tag: str, verdict: str) -> None:
    assert judge(answer, tag).verdict == verdict


def test_options_move_the_borders() -> None:
    assert judge("Ja, natürlich doch.", "de", min_words=4).verdict == "too_short"
    assert judge("是的", "zh", min_words=3).verdict == "too_short"
    assert judge("The spider has eight legs.", "en", min_confidence=0.99).verdict == "unknown"
    assert judge("Paris Berlin", "de", min_confidence=0).verdict == "wrong"


def test_twins_count_as_right_and_only_they() -> None:
    malay = "Saya tidak boleh datang ke pejabat kerana kereta saya rosak di jalan raya."
    assert judge(malay, "id") == judge(malay, "ms")
    assert judge(malay, "id").verdict == "right"
    assert judge(malay, "jv").verdict == "wrong"
    assert judge("貓整天在沙發上睡覺，從來不抓老鼠。", "zh-Hant").verdict == "right"


def test_languages_that_langxfer_does_not_know_are_never_found() -> None:
    pidgin = "Dem no know wetin dey happen"
    known = {label for language in LANGUAGES.values() for label in language.identifier}
    assert "pcm" not in known
    assert judge(pidgin, "en", min_confidence=0).detected in known


def generation(number: int, text: str, tag: str, finished: bool = True) -> Generation:
    return Generation(Prompt(f"{number}/{tag}", f"question {number}", tag), text, 5, finished)


def test_scores_by_hand() -> None:
    answers = [
        *(generation(i, GERMAN, "de") for i in range(3)),
        *(generation(i, SENTENCES["en"], "de") for i in range(3, 5)),
        generation(5, "", "de", finished=False),
        generation(6, "Ja.", "de"),
        generation(7, "xq zzq", "de"),
        generation(0, SENTENCES["en"], "en"),
    ]
    evaluation = LanguageFidelity().evaluate(Evidence((), answers, {}))
    scores = {score.name: score for score in evaluation.scores}
    assert {name: (score.value, score.n) for name, score in scores.items()} == {
        "language_fidelity/de": (37.5, 8),
        "language_fidelity/de/empty": (12.5, 8),
        "language_fidelity/de/too_short": (12.5, 8),
        "language_fidelity/en": (100.0, 1),
        "language_fidelity/en/empty": (0.0, 1),
        "language_fidelity/en/too_short": (0.0, 1),
    }
    german = scores["language_fidelity/de"]
    assert german.standard_error == pytest.approx(100 * math.sqrt(0.375 * 0.625 / 8))
    assert (german.unit, german.higher_is_better) == ("%", True)
    assert scores["language_fidelity/de/empty"].higher_is_better is False
    head = f"id:py3langid-{version('py3langid')}|n:8|temp:0|max_new_tokens:96|min_words:2|min_confidence:0.1|prompts:"
    assert german.signature.startswith(head)
    assert "|langxfer:" in german.signature
    row = evaluation.rows[5]
    assert row == {
        "id": "5/de",
        "language": "de",
        "prompt": "question 5",
        "answer": "",
        "detected": None,
        "confidence": None,
        "verdict": "empty",
        "finished": False,
    }
    assert [row["verdict"] for row in evaluation.rows].count("right") == 4


def test_a_model_that_says_nothing_has_no_fidelity() -> None:
    scores = LanguageFidelity().evaluate(Evidence((), [generation(i, "", "de") for i in range(4)], {})).scores
    assert [score.value for score in scores] == [0.0, 100.0, 0.0]


@settings(max_examples=8, deadline=None)  # each loads the identifier
@given(st.lists(st.sampled_from(["", "Ja.", GERMAN, SENTENCES["en"], "xq zzq", "42"]), min_size=1, max_size=12))
def test_the_shares_are_of_all_prompts(texts: list[str]) -> None:
    answers = [generation(i, text, "de") for i, text in enumerate(texts)]
    scores = LanguageFidelity().evaluate(Evidence((), answers, {})).scores
    expected = [texts.count(GERMAN), texts.count(""), texts.count("Ja.") + texts.count("42")]
    assert [score.value for score in scores] == pytest.approx([100 * count / len(texts) for count in expected])


@settings(deadline=None)
@given(st.text())
def test_every_answer_has_a_verdict(answer: str) -> None:
    found = judge(answer, "de")
    assert found.verdict in ("right", "wrong", "unknown", "too_short", "empty")
    assert (found.detected is None) == (found.verdict in ("too_short", "empty"))


def test_sampling_and_signature_follow_the_options() -> None:
    sampled = LanguageFidelity(max_new_tokens=32, temperature=0.7, top_p=0.9, seed=3)
    assert sampled.sampling() == Sampling(32, 0.7, 0.9, 3)
    assert LanguageFidelity().sampling() == Sampling(96, 0.0, 1.0, 0)
    text = sampled.evaluate(Evidence((), [generation(1, GERMAN, "de")], {})).scores[0].signature
    assert "|temp:0.7|top_p:0.9|seed:3|max_new_tokens:32|" in text
    other = sampled.evaluate(Evidence((), [generation(2, GERMAN, "de")], {})).scores[0].signature
    assert other != text


# ---------------------------------------------------------------- prompts


def test_prompts_of_a_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "prompts.jsonl",
        {"id": "a", "en": {"instruction": "Add.", "input": "1 2", "output": "3"}, "de": " Addiere. "},
        {"id": 2, "en": "Why\u2028so?", "de": {"instruction": "Warum?", "input": ""}, "sw": "Kwa nini?"},
    )
    asked = LanguageFidelity(prompts=path).prompts(())
    assert asked == [
        Prompt("a/en", "Add.\n\n1 2", "en"),
        Prompt("2/en", "Why\u2028so?", "en"),
        Prompt("a/de", "Addiere.", "de"),
        Prompt("2/de", "Warum?", "de"),
        Prompt("2/sw", "Kwa nini?", "sw"),
    ]
    some = LanguageFidelity(prompts=path, languages=("sw", "de"), limit=1).prompts(())
    assert [prompt.id for prompt in some] == ["2/sw", "a/de"]


def examples(*targets: str) -> list[ParallelExample]:
    return [
        ParallelExample(f"{i}-{tag}", Turn(f"Why {i}?", "x", "en"), Turn(f"{tag} {i}?", "y", tag))
        for i in range(2)
        for tag in targets
    ]


def test_prompts_of_the_validation_examples() -> None:
    assert LanguageFidelity(languages=("de",)).prompts(examples("de")) == [
        Prompt("0-de/de", "de 0?", "de"),
        Prompt("1-de/de", "de 1?", "de"),
    ]
    several = LanguageFidelity().prompts(examples("de", "sw"))
    assert [(p.language, p.text) for p in several] == [
        *(("en", "Why 0?"), ("en", "Why 1?")),
        *(("de", "de 0?"), ("de", "de 1?")),
        *(("sw", "sw 0?"), ("sw", "sw 1?")),
    ]
    assert len({prompt.id for prompt in several}) == len(several)
    assert len(LanguageFidelity(limit=1).prompts(examples("de", "sw"))) == 3


def test_a_file_that_comes_with_langxfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "builtin" / "quickstart"
    folder.mkdir(parents=True)
    write(folder / "questions.jsonl", {"id": "a", "de": "Warum?"})
    monkeypatch.setattr(langxfer, "__file__", str(tmp_path / "__init__.py"))
    component = LanguageFidelity(prompts="langxfer:questions.jsonl")
    assert component.resolve(Path("/elsewhere")) is component
    assert component.prompts(()) == [Prompt("a/de", "Warum?", "de")]


def test_the_key_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    row = {"id": "a", "de": "Warum?"}
    write(tmp_path / "one.jsonl", row)
    write(tmp_path / "other" / "two.jsonl", row)
    one = LanguageFidelity(prompts="one.jsonl").resolve(tmp_path)
    two = LanguageFidelity(prompts=str(tmp_path / "other" / "two.jsonl")).resolve(Path("/elsewhere"))
    assert one.prompts_file == str(tmp_path / "one.jsonl")
    assert one.what() == two.what()
    assert one.what()["identifier"] == version("py3langid")
    assert LanguageFidelity.model_validate(one.model_dump(mode="json")) == one
    before = one.what()
    write(tmp_path / "one.jsonl", {"id": "a", "de": "Wieso?"})
    assert one.what() != before
    assert LanguageFidelity().resolve(tmp_path) == LanguageFidelity()
    assert LanguageFidelity().what()["prompts"] is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"id": "a", "de": "Warum?"}\n{"id": ', r":2 is not JSON"),
        ("[]", r":1: expected \{.*found \[\]"),
        ('{"de": "Warum?"}', r":1: expected"),
        ('{"id": "a"}', r":1: expected"),
        ('{"id": "a", "german": "Warum?"}', r':1: "german" is not a known language tag.*"de"'),
        ('{"id": "a", "de": ""}', r":1: de: expected a text"),
        ('{"id": "a", "de": 3}', r":1: de: expected a text"),
        ('{"id": "a", "de": {"input": "x"}}', r":1: de: expected a text"),
        ('{"id": "a", "de": {"instruction": "x", "input": 3}}', r":1: de: expected a text"),
        ('{"id": "a", "de": {"instruction": "x", "text": "y"}}', r":1: de: unknown field text"),
        ('{"id": "a", "de": "x"}\n{"id": "a", "de": "y"}', r'id "a" occurs 2 times in de'),
        ('{"id": "a", "wo": "Naka?"}', r'py3langid cannot identify "wo" \(Wolof\)'),
        ("\n\n", r"there are no prompts in"),
    ],
)
def test_a_wrong_file_is_an_error_with_its_line(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(lines, encoding="utf-8")
    component = LanguageFidelity(prompts=str(path))
    with pytest.raises(DataError, match=message):
        component.prompts(())
    with pytest.raises(DataError, match=message):
        component.what()


def test_a_missing_or_misencoded_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the prompts file .*No such file"):
        LanguageFidelity(prompts=str(tmp_path / "none.jsonl")).prompts(())
    (tmp_path / "latin.jsonl").write_bytes('{"id": "a", "de": "für"}'.encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        LanguageFidelity(prompts=str(tmp_path / "latin.jsonl")).what()
    (tmp_path / "marked.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "a", "de": "x"}\r\n')
    assert len(LanguageFidelity(prompts=str(tmp_path / "marked.jsonl")).prompts(())) == 1


def test_no_prompts_and_missing_languages_are_errors() -> None:
    with pytest.raises(DataError, match=r"there are no prompts in the validation examples \(set data\.validation"):
        LanguageFidelity().prompts(())
    with pytest.raises(DataError, match=r"no prompt in sw, ko in .* Languages there: en, de"):
        LanguageFidelity(languages=("de", "sw", "ko")).prompts(examples("de"))
    with pytest.raises(DataError, match=r'cannot identify "wo"'):
        LanguageFidelity().prompts(examples("wo"))
    assert len(LanguageFidelity(languages=("en",)).prompts(examples("wo"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ("wo",)}, r'py3langid cannot identify "wo" \(Wolof\)'),
        ({"languages": ("german",)}, "is not a known language tag"),
        ({"languages": ("de", "de")}, "listed twice"),
        ({"languages": ()}, "languages"),
        ({"top_p": 0.9}, "top_p has no effect at temperature 0"),
        ({"limit": 0}, "limit"),
        ({"min_words": 0}, "min_words"),
        ({"prompt": "x"}, "prompt"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LanguageFidelity(**options)


# ---------------------------------------------------------------- real text


def share_right(texts: Sequence[str], tag: str) -> float:
    component = LanguageFidelity()
    return sum(component.judge(text, tag, classify).verdict == "right" for text in texts) / len(texts)


@pytest.mark.parametrize(
    ("tag", "name"),
    [("en", "eng-US"), ("de", "deu"), ("id", "ind"), ("ko", "kor"), ("sw", "swa"), ("yo", "yor"), ("zh", "zho-CN")],
)
def test_real_sentences_are_recognised(tag: str, name: str) -> None:
    path = next((DATA / "ntrex").glob(f"newstest2019-*.{name}.txt"), None)
    if path is None:
        pytest.skip("no NTREX sentences beside the repository (../shared/data/ntrex)")
    sentences = path.read_text(encoding="utf-8").splitlines()[:300]
    assert share_right(sentences, tag) >= 0.99
    assert share_right(sentences, "de" if tag != "de" else "en") <= 0.01
