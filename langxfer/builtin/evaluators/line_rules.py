"""Our rules for the language of an answer: the whole and its lines, by script where that decides, else identified."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from langxfer.builtin.evaluators.identifiers import Identifier
from langxfer.builtin.evaluators.outcomes import Outcome, verdict_on
from langxfer.languages import LANGUAGES
from langxfer.translation.identification import NO_LANGUAGE, NOT_PROSE, WORD
from langxfer.translation.lengths import HAN, HIRAGANA_KATAKANA
from langxfer.translation.scripts import other_chinese_share, script_share

# A line is judged alone from so many words on, and counts as wrong from so much confidence on: of the first five words
# of 800 news sentences in each of seven languages, py3langid calls at most 0.5 % another language so surely.
LINE_WORDS, LINE_CONFIDENCE = 5, 0.5
# Japanese does not write so many ideographs without kana between them, names and headings apart.
KANA_WITHIN = 8

_SCRIPTS = Counter(language.script for language in LANGUAGES.values())
_CHINESE = ("Hans", "Hant")
_QUOTED = re.compile(
    r'"([^"\n]+)"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|「([^」\n]+)」|『([^』\n]+)』|^[ \t]*>[ \t]*(.+)$',
    re.MULTILINE,
)
_ENGLISH = re.compile(r"(?<![A-Za-z0-9_])[a-z]{4,}(?![A-Za-z0-9_])")


@dataclass(frozen=True)
class LineRules:
    """The rules with their options; calling them judges an answer.

    Attributes:
        min_words: an answer of fewer is ``too_short``; in scripts without spaces characters count.
        min_confidence: a best guess of less is ``unknown``.
        english: English words; None takes every word of over three lower-case Latin letters for one.
    """

    identifier: Identifier
    min_words: int
    min_confidence: float
    english: frozenset[str] | None = None

    def __call__(self, answer: str, prompt: str, tag: str) -> Outcome:
        """The verdict on an answer to ``prompt`` that is due in language ``tag``."""
        if not answer.strip():
            return Outcome("empty")
        prose = NOT_PROSE.sub(" ", _without_quotations(answer, prompt))
        if len(WORD.findall(prose)) < self.min_words:
            return Outcome("too_short")
        whole, detected, confidence = self._in_language(prose, tag, self.min_confidence)
        long_lines = [line for line in prose.splitlines() if len(WORD.findall(line)) >= LINE_WORDS]
        lines = [self._in_language(line, tag, max(self.min_confidence, LINE_CONFIDENCE))[0] for line in long_lines]
        right, wrong = lines.count(True), lines.count(False)
        if whole is None and not right and not wrong:
            return Outcome("unknown", detected, confidence)
        verdict = verdict_on(right + (whole is True), wrong + (whole is False))
        english = self._english(prose, tag) if verdict == "full" else None
        return Outcome(verdict, detected, confidence, right, wrong, english)

    def _in_language(self, text: str, tag: str, least: float) -> tuple[bool | None, str, float]:
        """Whether a text is in a language (None: unknown), and what it is taken for, with which confidence."""
        by_script = in_script(text, tag)
        if by_script:
            return True, tag, 1.0
        detected, confidence = self.identifier.classify(" ".join(text.split()))
        same = detected in self.identifier.labels_with_twins(tag)
        if by_script is False:
            return False, f"{detected} in another script" if same else detected, confidence
        if confidence < least or detected == NO_LANGUAGE:
            return None, detected, confidence
        return same, detected, confidence

    def _english(self, prose: str, tag: str) -> tuple[str, ...] | None:
        if LANGUAGES[tag].script == "Latn":
            return None
        return tuple(word for word in _ENGLISH.findall(prose) if self.english is None or word in self.english)


def in_script(text: str, tag: str) -> bool | None:
    """Whether a text is in a language, as far as its letters alone say.

    False where less than half of the letters are of the language's script. True where no other language that langxfer
    knows has that script, as Korean's; for Chinese: ideographs without kana, in the Simplified or Traditional form
    that is due; for Japanese: with kana. None leaves it to an identifier. Chinese and Cantonese are not told apart.
    """
    if script_share(text, tag) < 0.5:
        return False
    kana, ideographs = len(HIRAGANA_KATAKANA.findall(text)), len(HAN.findall(text))
    script = LANGUAGES[tag].script
    if script in _CHINESE:
        return 10 * kana <= ideographs and other_chinese_share(text, tag) <= 0.5
    if script == "Jpan":
        return True if kana else None if ideographs < KANA_WITHIN else False
    return True if _SCRIPTS[script] == 1 else None


def _without_quotations(answer: str, prompt: str) -> str:
    """The answer without what it quotes of the prompt: quoted spans that occur there, and whole lines of it."""
    asked = _plain(prompt)
    lines = {_plain(line) for line in prompt.splitlines()}

    def keep(found: re.Match[str]) -> str:
        return " " if _plain(found[found.lastindex or 0]) in asked else found[0]

    kept = _QUOTED.sub(keep, answer).splitlines()
    return "\n".join(line for line in kept if len(WORD.findall(line)) < LINE_WORDS or _plain(line) not in lines)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
