"""Texts in another language than they should be."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from pydantic import Field

from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair
from langxfer.languages import LANGUAGES
from langxfer.translation.identification import NO_LANGUAGE, NOT_PROSE, TWINS, WORD, Classify, load_identifier
from langxfer.translation.scripts import other_chinese_share, script_share

CHINESE = ("Hans", "Hant")


class LanguageFilter(TextFilter):
    """Drops an example with a text in another language than its side's, or in another script.

    Code and addresses are no evidence. A text of fewer than ``min_words`` other words is let pass (the Language
    Confusion Benchmark too leaves out lines under five); in scripts without spaces characters count.

    - Script: fewer than ``min_script`` of the letters belong to the language's script, by Unicode. Chinese is also
      dropped where most of the characters that tell Simplified from Traditional are the other ones.
    - Language: py3langid's best guess among the languages of langxfer is another one, with a probability of at least
      ``min_probability``; a guess of less is doubt and drops nothing, nor does "no language". Indonesian and
      Malay, and Chinese and Cantonese, count as one. Of a language that py3langid lacks, only the script is judged.

    On the sentences of FLORES and NTREX py3langid takes 0 to 0.4 % for another language, by language.
    """

    results_version: ClassVar[int] = 2  # fences are taken out where they stand on lines of their own

    name: Literal["language"] = "language"
    min_words: int = Field(5, ge=1, description="Texts of fewer words (unspaced scripts: characters) are let pass.")
    min_probability: float = Field(
        0.5, ge=0, le=1, description="A guess of another language that is less sure is none."
    )
    min_script: float = Field(0.5, ge=0, le=1, description="Drop below this share of letters in the language's script.")
    sides: Literal["target", "source", "either"] = Field("either", description="Whose language is judged.")

    def identity(self) -> dict[str, Any]:
        return {"identifier": version("py3langid")}

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        found = None
        if self.sides != "source":
            found = self._judge("target", what, target, pair.target)
        if found is None and self.sides != "target":
            found = self._judge("source", what, source, pair.source)
        return found

    def _judge(self, side: str, what: str, text: str, tag: str) -> Drop | None:
        prose = NOT_PROSE.sub(" ", text)
        if len(WORD.findall(prose)) < self.min_words:
            return None
        share = script_share(prose, tag)
        if share < self.min_script:
            return Drop(f"{side} {what} in another script", share)
        if LANGUAGES[tag].script in CHINESE and (other := other_chinese_share(prose, tag)) > 0.5:
            return Drop(f"{side} {what} in another Chinese script", other)
        accepted = (*LANGUAGES[tag].identifier, *TWINS.get(tag, ()), NO_LANGUAGE)
        if not LANGUAGES[tag].identifier:
            return None
        detected, probability = _identifier()(" ".join(prose.split()))
        if detected in accepted or probability < self.min_probability:
            return None
        return Drop(f"{side} {what} in another language", float(probability))


@cache
def _identifier() -> Classify:
    """Loaded once: it takes 0.3 s, and is never changed."""
    return load_identifier()
