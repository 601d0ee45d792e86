"""How a question of MMMLU is put: Table 6 of the CLO paper (arXiv 2505.14297), with simple-evals' layout after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Instruction:
    """The order to answer in one language.

    Attributes:
        text: stands before the question.
        answer: word that announces the letter.
        origin: ``paper``: as printed in Table 6; ``rebuilt``: printed there with characters lost, which we filled in;
            ``ours``: the paper has none.
    """

    text: str
    answer: str
    origin: Literal["paper", "rebuilt", "ours"]


INSTRUCTIONS: Mapping[str, Instruction] = MappingProxyType(
    {
        "en": Instruction(
            "Answer the following multiple choice question. Ensure the last line of your response is in the format: "
            "'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. For example, 'Answer: A'.",
            "Answer",
            "paper",
        ),
        "ko": Instruction(
            "다음 선택형 질문에 답하십시오. "
            "당신의 응답 마지막 줄을 '답변: $LETTER' (따옴표 제외) 형식으로 작성하십시오. "
            "여기서 LETTER는 ABCD 중 하나입니다. 예를 들어, '답변: A'로 대답하세요.",
            "답변",
            "paper",
        ),
        # Printed: 回答以下。保的回答的最后一行格式：'答案: $LETTER' (不引)，其中 LETTER 是 ABCD 之一。例如，'答案: A'。
        "zh": Instruction(
            "回答以下选择题。确保您的回答的最后一行格式为：'答案: $LETTER' (不带引号)，其中 LETTER 是 ABCD 之一。"
            "例如，'答案: A'。",
            "答案",
            "rebuilt",
        ),
        "sw": Instruction(
            "Jibu swali lifuatalo la chaguo nyingi. Hakikisha mstari wa mwisho wa jibu lako uko katika muundo: "
            "'Answer: $LETTER' au 'Jibu: $LETTER' (bila nukuu) ambapo LETTER ni moja ya ABCD. "
            "Kwa mfano, 'Answer: A' au 'Jibu: A'.",
            "Jibu",
            "paper",
        ),
        "de": Instruction(
            "Beantworten Sie die folgende Multiple-Choice-Frage. Die letzte Zeile Ihrer Antwort muss das Format "
            "'Antwort: $LETTER' (ohne Anführungszeichen) haben, wobei LETTER einer der Buchstaben ABCD ist. "
            "Zum Beispiel: 'Antwort: A'.",
            "Antwort",
            "ours",
        ),
        "id": Instruction(
            "Jawablah pertanyaan pilihan ganda berikut. Pastikan baris terakhir jawaban Anda berformat: "
            "'Jawaban: $LETTER' (tanpa tanda kutip), dengan LETTER salah satu dari ABCD. Misalnya, 'Jawaban: A'.",
            "Jawaban",
            "ours",
        ),
        "yo": Instruction(
            "Dáhùn ìbéèrè tó tẹ̀lé yìí nípa yíyan ìdáhùn kan. Rí i dájú pé ìlà tó kẹ́yìn nínú ìdáhùn rẹ wà báyìí: "
            "'Ìdáhùn: $LETTER' (láìsí àmì àyọlò) níbi tí LETTER ti jẹ́ ọ̀kan nínú ABCD. "
            "Fún àpẹẹrẹ, 'Ìdáhùn: A'.",
            "Ìdáhùn",
            "ours",
        ),
    }
)


def to_generate(instruction: Instruction, question: str, options: Sequence[str]) -> str:
    """The user's turn: instruction, question and options, apart by empty lines, as in simple-evals."""
    shown = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"{instruction.text}\n\n{question}\n\n{shown}"


def to_complete(instruction: Instruction, question: str, options: Sequence[str]) -> str:
    """Plain text whose next word is the letter, as in task mmmlu of lm-evaluation-harness 0.4.13."""
    shown = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"{question.strip()}\n{shown}\n{instruction.answer}:"
