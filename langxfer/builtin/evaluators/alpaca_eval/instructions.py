"""The instruction to answer in the language of the input (appendix F of CLO, arXiv 2505.14297).

The paper gives the English sentence alone. The others are our translations of it, not the authors'.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

ANSWER_LANGUAGE: Mapping[str, str] = MappingProxyType(
    {
        "en": "Please answer in the same language as the input.",
        "de": "Bitte antworte in derselben Sprache wie die Eingabe.",
        "id": "Tolong jawab dalam bahasa yang sama dengan masukan.",
        "ko": "입력과 같은 언어로 답변해 주세요.",
        "sw": "Tafadhali jibu kwa lugha ileile ya maandishi uliyopewa.",
        "yo": "Jọ̀wọ́ dáhùn ní èdè kan náà pẹ̀lú ìbéèrè náà.",
        "zh": "请用与输入相同的语言回答。",
    }
)
