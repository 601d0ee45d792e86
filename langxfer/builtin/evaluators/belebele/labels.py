"""How a question of BELEBELE is put: Table 7 of the CLO paper (arXiv 2505.14297), letter by letter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

LETTERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Labels:
    """Native words of one language.

    Attributes:
        passage, question, answer: before the texts they announce.
        options: before the four answers.
    """

    passage: str
    question: str
    answer: str
    options: tuple[str, ...] = LETTERS


PAPER: Mapping[str, Labels] = MappingProxyType(
    {
        "zh": Labels("文档", "问题", "答案"),
        "de": Labels("Dokument", "Frage", "Antwort"),
        "ko": Labels("문서", "질문", "정답", ("가)", "나)", "다)", "라)")),
        "id": Labels("Dokumen", "Pertanyaan", "Jawaban"),
        "sw": Labels("Hati", "Swali", "Jibu"),
        "yo": Labels("Iwe", "Ibèèrè", "Idahun"),
        # The table lacks English, which the paper measures too: ours.
        "en": Labels("Passage", "Question", "Answer"),
    }
)

# The table's Yoruba lacks most of its marks.
CORRECTED: Mapping[str, Labels] = MappingProxyType({"yo": Labels("Ìwé", "Ìbéèrè", "Ìdáhùn")})

# lm-evaluation-harness 0.4.13 asks in these words in every language.
LM_EVAL = Labels("P", "Q", "Answer")
