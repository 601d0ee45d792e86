"""Tasks about language itself, which mean something else in another language."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from langxfer.components import Drop, Filter
from langxfer.data import ParallelExample

LANGUAGE = (
    "English|German|French|Spanish|Italian|Portuguese|Dutch|Russian|Polish|Swedish|Danish|Norwegian|Finnish|Greek|Latin|"
    "Turkish|Arabic|Hebrew|Persian|Farsi|Hindi|Urdu|Bengali|Tamil|Chinese|Mandarin|Cantonese|Japanese|Korean|Vietnamese|"
    "Thai|Indonesian|Malay|Tagalog|Swahili|Yoruba|Hausa|Zulu|Ukrainian|Czech|Hungarian|Romanian|Gaelic|Welsh|Irish"
)
# Reason -> what a prompt in English says. The words after which a language is named keep "the German army" out.
PATTERNS: dict[str, str] = {
    "translation task": (
        r"\btranslat(?:e|es|ed|ing|ions?)\b(?!\s+(?:research|medicine|strategy|into\s+(?:action|practice|profit|success|results)))"
        rf"|\b(?:in|into|from|to)\s+(?:{LANGUAGE})\b(?!\s+\w+\s+(?:history|culture))(?=\s*(?:[.?!:,;\"'”’)]|\Z|\n|and\b|or\b|to\b|using\b))"
        rf"|\bhow\s+(?:do|would|can|to)\s+(?:you\s+|I\s+|we\s+|one\s+)?say\b"
    ),
    "word of a language": (
        rf"\b(?:{LANGUAGE})\s+(?:words?|phrases?|verbs?|nouns?|adjectives?|idioms?|expressions?|proverbs?|alphabet|grammar|"
        r"vocabulary|pronunciation|spelling|slang|translation|equivalents?)\b"
    ),
    "grammar task": (
        r"\b(?:grammar|grammatical(?:ly)?|punctuat(?:e|ion)|syntax\s+of\s+the\s+sentence|misspell\w*|typos?|spelling|proofread\w*)\b"
        r"|\b(?:past|present|future|perfect|continuous)\s+tense\b|\b(?:passive|active)\s+voice\b|\bparts?\s+of\s+speech\b"
        r"|\b(?:verb|noun|adjective|adverb|pronoun|preposition|conjunction|clause)s?\b"
        r"|\b(?:conjugate|pluralize|plural\s+(?:form\s+)?of|contractions?\s+(?:of|in))\b"
        r"|\b(?:correct|fix|edit)\b[^.?!\n]{0,40}\b(?:sentence|errors?\s+in|grammar|spelling)\b"
    ),
    "task on letters and sounds": (
        r"\brhym(?:e|es|ed|ing)\b|\bsyllables?\b|\banagrams?\b|\bpalindromes?\b|\bacrostics?\b|\balliterat\w+|\bhaikus?\b|\blimericks?\b"
        r"|\b(?:how\s+many|which|what|number\s+of|count\s+the)\s+(?:letters?|vowels?|consonants?)\b|\bhow\s+(?:do\s+you\s+|to\s+|is\s+)?spell\b"
        r"|\bspell\s+(?:the|out|it|this)\b|\b(?:starts?|begins?|beginning|starting|ends?|ending)\s+with\s+(?:the\s+)?(?:letters?|sound|prefix|suffix)\b"
        r"|\b(?:unscramble|rearrange\s+the\s+(?:letters|words))\b|\bpronounc\w+|\bhomophones?\b|\bhomonyms?\b|\bpuns?\b"
    ),
    "task on words": (
        r"\b(?:synonyms?|antonyms?|etymolog\w+|idioms?|prefix(?:es)?|suffix(?:es)?)\b"
        r"|\b(?:meaning|definition|origin)s?\s+of\s+the\s+(?:\w+\s+)?(?:word|phrase|term|idiom|expression|saying)\b"
        r"|\bthe\s+word\s+[\"'“‘]|\bin\s+(?:a|one|other)\s+words?\b(?=[^.?!\n]*[\"“:])|\bfill\s+in\s+the\s+blanks?\b"
        r"|\bcomplete\s+the\s+(?:following\s+)?(?:sentence|analogy|phrase)\b"
    ),
}


SHORT = 200  # characters


def instruction(prompt: str) -> str:
    """The first paragraph of a prompt, and the last one where it is short; between them stands what is worked on."""
    first, *others = prompt.strip().split("\n\n")
    last = others[-1] if others and len(others[-1]) <= SHORT else ""
    return f"{first}\n{last}"


class LanguageTask(Filter):
    """Drops an example whose English prompt is about language itself.

    CLO takes it that an answer in the prompt's language is the better one. "Translate into French: …" wants neither of
    the two. "Correct the grammar", "what rhymes with sun", "how many letters has the word sea" and "what does the
    German word Angst mean" have other answers in another language, or none, so their translation is wrong even where
    every word of it is right.

    Prompts are found by words in the instruction (their first paragraph, and the last one if it is short), in English;
    those in other languages only by ``patterns``, which look at whole prompts. A question in which such a word means
    something else ("the grammar school of Kew") goes too. Of 2,000
    Dolly prompts 0.9 % are dropped; of 11,000 Alpaca prompts, among which are many exercises in grammar, 19 %.
    """

    name: Literal["language_task"] = "language_task"
    patterns: tuple[str, ...] = Field(
        (), description="More regular expressions; one found in a prompt of either language drops. Case counts not."
    )
    english: bool = Field(True, description="Whether the built-in patterns for English prompts are searched.")

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern, re.IGNORECASE)
            except re.error as error:
                raise ValueError(f'"{pattern}" is not a regular expression ({error})') from None
        return patterns

    def judge(self, example: ParallelExample) -> Drop | None:
        turns = (example.source, example.target)
        if self.english:
            for prompt in (turn.prompt for turn in turns if turn.language == "en"):
                asked = instruction(prompt)
                for reason, pattern in BUILT_IN.items():
                    if pattern.search(asked):
                        return Drop(reason, 1.0)
        for number, pattern in enumerate(self.patterns, 1):
            if any(re.search(pattern, turn.prompt, re.IGNORECASE) for turn in turns):
                return Drop(f"pattern {number} of the recipe", 1.0)
        return None


BUILT_IN = {reason: re.compile(pattern, re.IGNORECASE) for reason, pattern in PATTERNS.items()}
