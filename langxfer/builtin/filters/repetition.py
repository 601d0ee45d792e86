"""Translations that run in circles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from langxfer.builtin.filters.text_filter import TextFilter
from langxfer.components import Drop, Pair
from langxfer.translation.repetition import compressed, times_in_a_row, unique_share, words_of

PHRASE = 4  # words; two texts that say different things share few phrases of four words
FEWEST_PHRASES = 8  # below that a share says nothing
MOST_OF_SOURCE = 0.75  # a translation is looked at only where its share is below this part of its source's


class Repetition(TextFilter):
    """Drops an example whose translation repeats itself more than its source does. Translators get stuck.

    - A phrase comes ``times`` times in a row or more, and more often than any does in the source. Three is what
      OpusFilter's RepetitionFilter has (Aulamo et al. 2020). A phrase has 1 to 24 words; of scripts without spaces,
      2 to 24 characters. Case counts, signs between the words do not.
    - Of all its phrases of four words (characters) less than ``min_unique`` are different. stopes asks this of
      six-grams of back-translations.
    - zlib makes it smaller than ``min_compressed`` bytes a character: 0.3, as the card of LumiOpen's
      instruction-collection-fin has it for a byte. This one sees loops inside words.

    The last two are held against the source: what repeats itself there may do so in translation.
    """

    name: Literal["repetition"] = "repetition"
    times: int = Field(3, ge=2, description="Drop where a phrase comes so often in a row, and not so in the source.")
    min_unique: float = Field(0.5, ge=0, le=1, description="Drop below this share of different phrases of four words.")
    min_compressed: float = Field(0.3, ge=0, description="Drop below so many bytes a character after zlib.")

    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        words = words_of(target)
        rounds = times_in_a_row(words)
        if rounds >= self.times and rounds > times_in_a_row(words_of(source)):
            return Drop(f"looping {what}", float(rounds))
        if len(words) >= PHRASE + FEWEST_PHRASES - 1:
            unique = unique_share(words, PHRASE)
            if unique < self.min_unique and unique < MOST_OF_SOURCE * unique_share(words_of(source), PHRASE):
                return Drop(f"repetitive {what}", unique)
        rate = compressed(target)
        if rate < self.min_compressed and rate < MOST_OF_SOURCE * compressed(source):
            return Drop(f"compressible {what}", rate)
        return None
