"""Which language a text is in, by py3langid: offline, and with code and addresses left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from langxfer.languages import LANGUAGES

# Labels that count as right beside a language's own, because py3langid cannot tell the two: of 800 news
# sentences (newstest2019) it calls 10 % of the Indonesian ones Malay, and some of the Chinese ones Cantonese.
TWINS: Mapping[str, tuple[str, ...]] = {
    "id": ("ms",),
    "ms": ("id",),
    "zh": ("yue",),
    "zh-Hant": ("yue",),
    "yue": ("zh",),
}

# py3langid's label for text without language: numbers, formulas.
NO_LANGUAGE = "zxx"

# What is no evidence of a language: fenced code (to the end when unclosed), inline code, addresses. People lengthen
# words with tildes (네~~~), so a fence of them has lines of its own; one of backticks may follow words on their line.
NOT_PROSE = re.compile(
    r"(?:^[ \t]{0,3}```|```[A-Za-z0-9+#.-]*[ \t]*$).*?(?:```|\Z)|```.*?```"
    r"|^[ \t]{0,3}~{3,}[ \t]*[A-Za-z0-9+#.-]*[ \t]*$.*?(?:^[ \t]{0,3}~~~|\Z)"
    r"|`[^`\n]+`|(?:https?://|www\.)\S+|(?<![\w.+-])[\w.+-]+@[\w-]+\.[\w.-]+",
    re.DOTALL | re.MULTILINE,
)

# In scripts without spaces a character counts as a word: Thai and Lao, Burmese, Khmer, kana, Chinese.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W\d_{UNSPACED}]+")

Verdict = Literal["right", "wrong", "unknown", "too_short", "empty"]
Classify = Callable[[str], tuple[str, float]]


@dataclass(frozen=True)
class Judgement:
    """What became of an answer; ``detected`` and ``confidence`` are None where nothing was identified."""

    verdict: Verdict
    detected: str | None = None
    confidence: float | None = None


def judge_language(
    text: str, tag: str, classify: Classify, min_words: int = 2, min_confidence: float = 0.1
) -> Judgement:
    """The verdict on a text that is due in language ``tag``.

    Args:
        text: any text; code and addresses in it are no evidence.
        tag: BCP-47.
        classify: gives label and probability, as ``load_identifier`` does.
        min_words: a text of fewer is ``too_short``; in scripts without spaces characters count.
        min_confidence: a best guess of less is ``unknown``.
    """
    if not text.strip():
        return Judgement("empty")
    prose = NOT_PROSE.sub(" ", text)
    if len(WORD.findall(prose)) < min_words:
        return Judgement("too_short")
    detected, confidence = classify(" ".join(prose.split()))
    if confidence < min_confidence or detected == NO_LANGUAGE:
        return Judgement("unknown", detected, confidence)
    accepted = (*LANGUAGES[tag].identifier, *TWINS.get(tag, ()))
    return Judgement("right" if detected in accepted else "wrong", detected, confidence)


def load_identifier() -> Classify:
    """py3langid among the languages that langxfer knows: text -> label and probability. Takes 0.3 s."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # The others only draw answers away: of English sentences' first four words, 2 % are taken for Nigerian Pidgin.
    known = {label for language in LANGUAGES.values() for label in language.identifier}
    identifier.set_languages({NO_LANGUAGE, *known})
    return identifier.classify
