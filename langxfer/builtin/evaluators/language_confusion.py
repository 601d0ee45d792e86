"""The rules of the Language Confusion Benchmark (Marchisio et al. 2024, arXiv 2406.20052), as its script has them."""

from __future__ import annotations

import logging
import string
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from langxfer.builtin.evaluators.identifiers import Identifier
from langxfer.builtin.evaluators.outcomes import Outcome, verdict_on
from langxfer.errors import RecipeError

LINE_TOKENS, MIN_CONFIDENCE = 5, 0.3
# Where Latin letters are not the language's own, so that an English word stands out.
WORD_LEVEL = ("ar", "hi", "ja", "ko", "ru", "zh")
TOKENIZERS = {"zh": "jieba", "ja": "fugashi"}

_DELETED = str.maketrans("", "", string.punctuation + "،")


@dataclass(frozen=True)
class ConfusionRules:
    """The benchmark's rules; calling them judges an answer.

    A completion ends before a line that begins with ``Q:``. ASCII punctuation is deleted, lines of fewer than five
    tokens are skipped (tokens are words; by jieba in Chinese, by MeCab in Japanese), and every other line must be
    identified as the language: one below a confidence of 0.3 is an error too. Of completions without line errors, those
    with a token out of the list of English words have word errors. A completion without any line to judge is skipped.
    """

    identifier: Identifier
    english: frozenset[str] | None = None

    def __call__(self, answer: str, prompt: str, tag: str) -> Outcome:
        """The verdict on an answer that is due in language ``tag``; the prompt decides nothing."""
        text = answer.split("\nQ:")[0].strip().translate(_DELETED).replace("—", " ")
        tokenize = tokenizer(tag)
        lines = [(line, tokens) for line in text.split("\n") if len(tokens := tokenize(line)) >= LINE_TOKENS]
        if not lines:
            return Outcome("too_short" if answer.strip() else "empty")
        found = [self.identifier.classify(line) for line, _ in lines]
        right = sum(label in self.identifier.labels[tag] and sure > MIN_CONFIDENCE for label, sure in found)
        wrong = len(lines) - right
        [(most, _)] = Counter(label for label, _ in found).most_common(1)
        english = None
        if not wrong and self.english is not None and _primary(tag) in WORD_LEVEL:
            tokens = (token.strip() for _, own in lines for token in own)
            english = tuple(token for token in tokens if token in self.english)
        return Outcome(verdict_on(right, wrong), most, None, right, wrong, english)


def tokenizer_versions() -> dict[str, str | None]:
    """The tokenizers' versions, None for one that is not installed."""
    return {package: _version(package) for package in TOKENIZERS.values()}


def check_tokenizers(tags: Iterable[str]) -> None:
    """See that these languages can be cut into tokens.

    Raises:
        RecipeError: a package is missing.
    """
    for tag in tags:
        package = TOKENIZERS.get(_primary(tag))
        if package is not None and _version(package) is None:
            raise RecipeError(
                f'language_fidelity: preset "lcb" cuts {_primary(tag)} into words with {package}, which is not '
                'installed:  pip install "langxfer[lcb]"'
            )


@cache
def tokenizer(tag: str) -> Callable[[str], list[str]]:
    """What cuts a line of a language into tokens."""
    load = {"zh": _chinese, "ja": _japanese}.get(_primary(tag))
    return str.split if load is None else load()


def _chinese() -> Callable[[str], list[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a module of setuptools that is deprecated
        import jieba
    jieba.setLogLevel(logging.ERROR)
    return jieba.lcut


def _japanese() -> Callable[[str], list[str]]:
    from fugashi import Tagger

    tagger = Tagger("-O wakati -b 50000")
    return lambda line: tagger.parse(line).split()


def _primary(tag: str) -> str:
    return tag.split("-")[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
