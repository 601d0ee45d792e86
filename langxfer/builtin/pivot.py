"""Translation by way of a third language, where no translator speaks both of a pair well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from langxfer.components import AnyTranslator, OpenTranslator, Pair, Translation, Translator
from langxfer.components.component import managed
from langxfer.errors import RecipeError
from langxfer.languages import check_language
from langxfer.translation.attempts import kept_contract

Leg = tuple[Literal["first", "second"], Pair]


class Pivot(Translator):
    """Two translators, one after the other: into a language between, and out of it.

    A segment that either of them has no translation of has none. What one of them says against its translation is
    said of the whole, the first one's word before the second's. Scores, mean log-probabilities, are added; where
    one translator gives none, the other's is the score. From or into the language between, one translator is enough.
    """

    name: Literal["pivot"] = "pivot"
    through: str = Field("en", description="BCP-47 tag of the language between.")
    first: AnyTranslator = Field(description="Translator from the source language into the language between.")
    second: AnyTranslator = Field(description="Translator from the language between into the target language.")

    _known = field_validator("through")(check_language)

    @property
    def unit(self) -> Literal["sentence", "document"]:  # type: ignore[override]
        """Documents only where both translators take them."""
        return "document" if self.first.unit == self.second.unit == "document" else "sentence"

    @property
    def device_counts(self) -> bool:  # type: ignore[override]
        """Where it does for either translator."""
        return self.first.device_counts or self.second.device_counts

    def legs(self, pair: Pair) -> list[Leg]:
        """The translators that a direction needs, by field name, each with its own direction."""
        if pair.source == self.through:
            return [("second", pair)]
        if pair.target == self.through:
            return [("first", pair)]
        return [("first", Pair(pair.source, self.through)), ("second", Pair(self.through, pair.target))]

    def languages(self) -> frozenset[str] | None:
        """All that either translator speaks; ``cannot`` says which directions are not among them."""
        first, second = self.first.languages(), self.second.languages()
        return None if first is None or second is None else first | second

    def cannot(self, pair: Pair) -> str | None:
        """What the first translator that cannot do its part says."""
        for leg, own in self.legs(pair):
            problem = getattr(self, leg).cannot(own)
            if problem:
                return f'translator "pivot" cannot go from {own.source} to {own.target} ({leg}): {problem}'
        return None

    def identity(self) -> dict[str, Any]:
        """All that decides either translator's results."""
        return {"first": self.first.what(), "second": self.second.what()}

    def resolve(self, folder: Path) -> Pivot:
        """Both translators' paths are taken from the recipe's folder."""
        return self.model_copy(update={"first": self.first.resolve(folder), "second": self.second.resolve(folder)})

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[OpenTranslator]:
        """Both translators, opened."""
        with ExitStack() as stack:
            legs = {"first": self.first, "second": self.second}
            opened = {leg: stack.enter_context(managed(own, own.open(device, cache))) for leg, own in legs.items()}
            yield _OpenPivot(self, opened)


class _OpenPivot:
    def __init__(self, pivot: Pivot, opened: Mapping[str, OpenTranslator]):
        self._pivot, self._opened = pivot, opened

    @property
    def at_once(self) -> int:
        """As many as the one that takes more of them."""
        return max(getattr(opened, "at_once", 1) for opened in self._opened.values())

    @property
    def running(self) -> str | None:
        """How both translators run, in words, as far as they say; None where neither does."""
        said = {leg: getattr(opened, "running", None) for leg, opened in self._opened.items()}
        return "; ".join(f"{leg}: {words}" for leg, words in said.items() if words) or None

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | Translation | None]:
        """Translations in the same order and of the same number.

        Raises:
            RecipeError: one of the translators cannot do its part.
            PluginError: one of them did not give one translation for each segment.
        """
        return self._go(segments, pair, again=False)

    def translate_again(self, segments: Sequence[str], pair: Pair) -> list[str | Translation | None]:
        """The same with other settings, of both translators or of the one that has some."""
        return self._go(segments, pair, again=True)

    def usage(self) -> dict[str, float]:
        """What both translators have used, added by name."""
        used: Counter[str] = Counter()
        for opened in self._opened.values():
            if hasattr(opened, "usage"):
                used.update(opened.usage())
        return dict(used)

    def raise_failure(self) -> None:
        """Raise what either translator has kept back, the first one's before the second's."""
        for opened in self._opened.values():
            if hasattr(opened, "raise_failure"):
                opened.raise_failure()

    def _go(self, segments: Sequence[str], pair: Pair, again: bool) -> list[str | Translation | None]:
        problem = self._pivot.cannot(pair)
        if problem:
            raise RecipeError(f"{problem}.")
        travelled = [Translation(segment) for segment in segments]
        for leg, own in self._pivot.legs(pair):
            texts = [(number, item.text) for number, item in enumerate(travelled) if item.text is not None]
            opened = self._opened[leg]
            ask = getattr(opened, "translate_again", opened.translate) if again else opened.translate
            if not texts:
                continue
            asked = [text for _, text in texts]
            answers = kept_contract(ask(asked, own), asked, f"{type(opened).__name__} ({leg} of pivot)")
            for (number, _), answer in zip(texts, answers, strict=True):
                travelled[number] = _further(travelled[number], answer)
        return [_plain(item) for item in travelled]


def _further(so_far: Translation, answer: str | Translation | None) -> Translation:
    """A translation of a translation, with what is known of both."""
    own = answer if isinstance(answer, Translation) else Translation(answer)
    scores = [score for score in (so_far.score, own.score) if score is not None]
    return Translation(own.text, sum(scores) if scores else None, so_far.problem or own.problem)


def _plain(item: Translation) -> str | Translation | None:
    """The text alone where nothing else is known."""
    return item.text if item.score is None and item.problem is None else item
