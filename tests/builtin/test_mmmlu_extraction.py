"""Which letter an answer names: what peers get wrong, every language, and properties."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langxfer.builtin.evaluators.mmmlu.extraction import extract, extract_strictly
from langxfer.builtin.evaluators.mmmlu.prompts import INSTRUCTIONS

# Strings that simple-evals reads otherwise, then what else models write.
STRINGS = [
    ("Answer: (B)", "B"),
    ("Answer: [C]", "C"),
    ("Answer:\nB", "B"),
    ("답변： C", "C"),
    ("정답은 C", "C"),
    ("答案是B", "B"),
    ("Jawabu: C", "C"),
    ("Answer: b", "B"),
    ("Answer: All are wrong\nAnswer: C", "C"),
    ("Answer: Both B and C", None),
    ("Antwort: Antwort: C", "C"),
    ("Antwort:\n\nAntwort: C", "C"),
    ("Answer: A Answer: B", None),
    ("Answer: A\nEndlich die letzte Zeile.\nAntwort: D", "D"),
    ("답변: C\nAnswer: B", "B"),
    ("Answer: B\n답변: C", "C"),
    # Markdown and LaTeX
    ("**Answer:** B", "B"),
    ("**Answer: B**", "B"),
    ("### Answer\n\n**B**", "B"),
    ("Answer: `D`", "D"),
    ("Answer: $C$", "C"),
    ("Answer: $\\boxed{B}$", "B"),
    ("The answer is \\boxed{\\text{D}}.", "D"),
    ("So we get $\\boxed{A}$", "A"),
    ("Answer: \\(C\\)", "C"),
    ("'Answer: A'", "A"),
    # Widths, cases, marks
    ("ANSWER: D", "D"),
    ("Ａｎｓｗｅｒ：　Ｂ", "B"),
    ("Answer\u200b: B", "B"),
    ("ANTWORT: (c)", "C"),
    ("Ìdáhùn: B", "B"),
    ("Idahun: B", "B"),
    ("Ìdáhùn náà ni D", "D"),
    ("idáhùn ni: C", "C"),
    # Other languages
    ("Jibu: A", "A"),
    ("Jibu ni B", "B"),
    ("Jibu sahihi ni (C)", "C"),
    ("Jawaban: D", "D"),
    ("Jawaban yang benar adalah B.", "B"),
    ("Die richtige Antwort ist B.", "B"),
    ("Respuesta: A", "A"),
    ("La réponse est C.", "C"),
    ("정답: 나)", "B"),
    ("답변: 라", "D"),
    ("정답은 가)입니다", "A"),
    ("정답: ③", "C"),
    ("답은 B입니다.", "B"),
    ("答案：C。", "C"),
    ("正确答案是选项 D", "D"),
    ("答え：A", "A"),
    ("الإجابة: ب", "B"),
    ("উত্তর: C", "C"),
    ("उत्तर: A", "A"),
    ("Jawabannya adalah B.", "B"),
    ("Jadi, jawabannya B.", "B"),
    ("Jadi, jawabannya B karena C salah", "B"),
    ("Jawabannya: B", "B"),
    ("Jawaban A: salah.\nJawaban B: benar.\nJawaban C: salah.\nJadi, jawabannya adalah B.", "B"),
    ("Jawaban yang benar adalah A? Tidak.\n\nJadi jawabannya adalah B.", "B"),
    ("Jawaban akhir: opsi D", "D"),
    ("Jibu lililo sahihi ni B.", "B"),
    ("Ìdáhùn tó tọ́ ni B.", "B"),
    ("答案应为B", "B"),
    ("答案应该是B", "B"),
    ("故选：B", "B"),
    ("故选B，理由如下", "B"),
    ("الإجابة الصحيحة هي ب", "B"),
    ("الإجابة الصحيحة: B", "B"),
    ("الإجابة النهائية: ب", "B"),
    ("A resposta é a letra B.", "B"),
    ("Resposta: A letra B", "B"),
    ("Resposta: A resposta correta é B", "B"),
    ("La réponse est l'option B.", "B"),
    # An option that is repeated, a reason that follows
    ("Answer: B) Vitamin C", "B"),
    ("Answer: C. A cat has four legs.", "C"),
    ("Answer: D: none of the above", "D"),
    ("Answer: A\n\nOption B is wrong because of C.", "A"),
    ("The answer is option C.", "C"),
    # Two letters, no letter
    ("Answer: B or C", None),
    ("Answer: B, C", None),
    ("Answer: (B) and (C)", None),
    ("Answer: B/D", None),
    ("답변: A와 B", None),
    ("Jibu: A au B", None),
    ("Answer: C, not B", None),
    ("Answer: A\nAnswer: B and C", None),
    ("Answer: a matter of taste", None),
    ("Answer: Apples", None),
    ("Answer: B-cells", None),
    ("Answer: E", None),
    ("정답: 다 맞다", None),
    ("답은 나라마다 다르다", None),
    ("Answer: $LETTER", None),
    ("Option A is better than option B.", None),
    ("", None),
    ("\n \n", None),
    # A second letter in the option's text, or in what explains
    ("Answer: B (Vitamin C)", "B"),
    ("Antwort: B (Vitamin C)", "B"),
    ("답변: B (비타민 C)", "B"),
    ("答案：B（维生素C）", "B"),
    ("Answer: B (Hepatitis A)", "B"),
    ("Answer: B - Hepatitis C", "B"),
    ("Answer: B – A cat", "B"),
    ("Answer: B\nThe other answers A, C and D are wrong.", "B"),
    ("Answer: B\n\nThe other answers (A, C, D) are incorrect.", "B"),
    ("Jawaban: B\nPenjelasan: Jawaban A, C, D salah.", "B"),
    ("The correct answer is B because D is wrong.", "B"),
    ("Die Antwort ist B, da C falsch ist.", "B"),
    ("正确答案是B，因为A、C、D都不对。", "B"),
    ("الإجابة الصحيحة هي B لأن C خطأ", "B"),
    ("정답은 B입니다. 왜냐하면 D는 틀렸기 때문입니다.", "B"),
    ("Answer: B\nAnswer A is wrong.", "B"),
    ("Answer: B (C)", None),
    ("Answer: B (or C)", None),
    ("Answer: B (Vitamin C) or C", None),
    ("Answer: B - C", None),
    ("Answer: B – or C", None),
    ("The answer is B or C because D is wrong.", None),
    ("Answer: A\nThe answer is either B or C.", None),
    # A letter that is not the answer
    ("정답은 A가 아닙니다.", None),
    ("답변: B\n정답이 A가 아닌 이유는 값이 다르기 때문입니다.", "B"),
    ("답변: B\n\n답이 A가 아닌 이유: 값이 다릅니다.", "B"),
    ("답변: B\n정답이 A나 C가 아닌 이유는 다음과 같습니다.", "B"),
    ("정답은 A번이 아닙니다. 정답은 B입니다.", "B"),
    ("답변: A\n정답은 A가 아니라 B입니다.", "B"),
    ("Antwort A: falsch.\nAntwort B: richtig.\nAntwort C: falsch.\nAntwort D: falsch", None),
    ("Jawaban A: salah\nJawaban B: benar\nJawaban C: salah", None),
    ("Answer A) is wrong, answer B) is right", None),
    ("The answer is not A.", None),
    ("답변: B\n그 그림은 아름답다.", "B"),
    ("Answer B", "B"),
    ("So the answer (B).", "B"),
    ("So the answer (b)", "B"),
    # A letter and nothing else
    ("B", "B"),
    ("(C)", "C"),
    ("Let me think.\n\nD.", "D"),
    ("b", None),
    ("A cat", None),
]


@pytest.mark.parametrize(("answer", "letter"), STRINGS)
def test_strings(answer: str, letter: str | None) -> None:
    assert extract(answer) == letter


@pytest.mark.parametrize("tag", INSTRUCTIONS)
def test_each_language_is_understood_as_it_is_asked(tag: str) -> None:
    word = INSTRUCTIONS[tag].answer
    for form in ("NFC", "NFD"):
        for letter in "ABCD":
            answer = unicodedata.normalize(form, f"{word}: {letter}")
            assert extract(f"…\n{answer}") == extract_strictly(f"…\n{answer}", (word,)) == letter
    # The instruction itself ends in an example, so it must be taken out of an answer that repeats it.
    assert extract(INSTRUCTIONS[tag].text) is not None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("Answer: B", "B"),
        ("I think.\nJibu: b.", "B"),
        ("**Jibu: B**", "B"),
        ("Jibu ni B", None),
        ("Jawabu: B", None),
        ("Answer: B\nThat is all.", None),
        ("B", None),
        ("", None),
    ],
)
def test_strictly_the_word_that_was_asked_for(answer: str, letter: str | None) -> None:
    assert extract_strictly(answer, ("Answer", "Jibu")) == letter


@given(st.text(max_size=200))
def test_any_text_has_one_of_four_letters_or_none(text: str) -> None:
    assert extract(text) in ("A", "B", "C", "D", None)
    assert extract_strictly(text, ("Answer",)) in ("A", "B", "C", "D", None)


@given(st.text(max_size=100), st.sampled_from("ABCD"), st.sampled_from(sorted(INSTRUCTIONS)))
def test_a_last_line_as_asked_for_wins_over_all_that_precedes(before: str, letter: str, tag: str) -> None:
    assert extract(f"{before}\n{INSTRUCTIONS[tag].answer}: {letter}") == letter


@given(st.sampled_from("ABCD"), st.sampled_from("ABCD"), st.sampled_from([", ", " and ", "/", " or ", " und ", "、"]))
def test_two_letters_on_the_last_line_are_none(one: str, other: str, between: str) -> None:
    assert extract(f"Answer: {one}{between}{other}") == (one if one == other else None)


@given(
    st.sampled_from("ABCD"), st.sampled_from(["{}", "({})", "[{}]", "**{}**", "`{}`", "${}$", "\\boxed{{{}}}", "{}."])
)
def test_wrapping_changes_nothing(letter: str, wrapping: str) -> None:
    for colon in (":", "：", ": ", " :\n"):
        assert extract(f"Answer{colon}{wrapping.format(letter)}") == letter


def test_a_loop_is_read_quickly() -> None:
    assert extract("Answer: " * 3000 + "B") == "B"
    assert extract("Answer:" + " " * 20000 + "x") is None
    assert extract("Answer: B" + " " * 20000 + "x") == "B"
