"""What filters share that compare a text with its translation: which texts of an example they look at."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from pydantic import Field

from langxfer.components import Drop, Filter, Pair
from langxfer.data import ParallelExample

Texts = Literal["response", "prompt", "either"]


class TextFilter(Filter):
    """Looks at the responses, the prompts or both, each in its two languages."""

    texts: Texts = Field("either", description="What is looked at: responses, prompts, or both, and either drops.")

    def judge(self, example: ParallelExample) -> Drop | None:
        source, target = example.source, example.target
        pair = Pair(source.language, target.language)
        found = None
        if self.texts != "prompt":
            found = self.compare("response", source.response, target.response, pair)
        if found is None and self.texts != "response":
            found = self.compare("prompt", source.prompt, target.prompt, pair)
        return found

    @abstractmethod
    def compare(self, what: str, source: str, target: str, pair: Pair) -> Drop | None:
        """None keeps the two texts; ``what`` (response or prompt) belongs into the reason."""
