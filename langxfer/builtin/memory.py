"""Translation memories: texts that people have translated already."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from langxfer.components import AnyTranslator, OpenTranslator, Pair, Translation, Translator
from langxfer.components.component import managed
from langxfer.errors import DataError
from langxfer.translation import SUFFIXES, Unit, base_tag, read_units
from langxfer.translation.attempts import kept_contract


class Memory(Translator):
    """A translator that looks texts up in TMX, TSV or JSON-lines files, in either direction.

    A whole document is looked up first, then its sentences. With a fallback that takes whole documents (``openai``,
    unless its ``unit`` is ``sentence``) a document goes there as a whole when no entry equals it, and no sentence is
    looked up. A text matches when it equals an entry, white space at both ends aside. Where entries contradict each
    other, the first one wins.

    With ``min_similarity`` the most similar entry will do for a segment that no entry equals, as in the tools of
    translators: similarity is 1 - edit distance / length of the longer text, in characters, and the numbers in both
    texts must be the same. It is the translation of another text and should be read by somebody: the logarithm of the
    similarity is its score. At the end the memory says how many texts it found equal, similar and not at all: whole
    documents that equal an entry, and different segments; not those that were in the segment cache already.
    What no file has goes to ``fallback``, or has no translation (None).
    """

    name: Literal["memory"] = "memory"
    files: tuple[str, ...] = Field(min_length=1, description=f"Translation memories ({', '.join(SUFFIXES)}).")
    fallback: AnyTranslator | None = Field(None, description="Translator of what the files do not have.")
    case_sensitive: bool = Field(True, description="Whether upper and lower case must match.")
    min_similarity: float | None = Field(
        None, gt=0, lt=1, description="Similarity from which an entry is near enough; null: only equal ones are."
    )

    @property
    def unit(self) -> Literal["sentence", "document"]:  # type: ignore[override]
        """As its fallback likes it; entries are sentences for the most part."""
        return self.fallback.unit if self.fallback else "sentence"

    @property
    def device_counts(self) -> bool:  # type: ignore[override]
        """Where it does for the fallback; files are the same everywhere."""
        return self.fallback is not None and self.fallback.device_counts

    @field_validator("files")
    @classmethod
    def _readable(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for file in files:
            if Path(file).suffix.lower() not in SUFFIXES:
                raise ValueError(f"{file}: expected a file that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
        return files

    def languages(self) -> None:
        """Only the files can tell."""
        return None

    def identity(self) -> dict[str, Any]:
        """The files as digests, so that their paths do not count, and all that decides the fallback's results.

        Raises:
            DataError: a file cannot be read.
        """
        fallback = self.fallback.what() if self.fallback else None
        return {"files": [_digest(Path(file)) for file in self.files], "fallback": fallback}

    def resolve(self, folder: Path) -> Memory:
        """Relative files, and the fallback's, are taken from the recipe's folder."""
        files = tuple(str((folder / file).resolve()) for file in self.files)
        return self.model_copy(
            update={"files": files, "fallback": self.fallback.resolve(folder) if self.fallback else None}
        )

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[OpenTranslator]:
        """Ready to look up; the files are read with the first segment of each direction."""
        if self.fallback is None:
            yield _OpenMemory(self, None)
            return
        with managed(self.fallback, self.fallback.open(device, cache)) as fallback:
            yield _OpenMemory(self, fallback)


class _OpenMemory:
    def __init__(self, memory: Memory, fallback: OpenTranslator | None):
        self._memory, self._fallback = memory, fallback
        self._entries: dict[Pair, Entries] = {}
        self._counts: Counter[str] = Counter()
        self._again: Sequence[str] = ()  # asked for again since segments were counted

    @property
    def at_once(self) -> int:
        """As many as keep the fallback busy."""
        return getattr(self._fallback, "at_once", 1)

    @property
    def running(self) -> str | None:
        """How the fallback runs, in words; None where it does not say, or nothing has needed it."""
        return getattr(self._fallback, "running", None)

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | Translation | None]:
        """Translations in the same order and of the same number; blank segments and outer white space stay.

        Raises:
            DataError: a file is broken, or no file has this direction and there is no fallback.
            PluginError: the fallback did not give one translation for each segment.
        """
        counted = not self._are_parts(segments)
        if counted:
            self._again = ()
        return self._translate(segments, pair, self._fallback.translate if self._fallback else None, counted)

    def translate_again(self, segments: Sequence[str], pair: Pair) -> list[str | Translation | None]:
        """What the files have is the same again; the fallback is asked with other settings, if it has some."""
        fallback, self._again = self._fallback, segments
        ask = getattr(fallback, "translate_again", fallback and fallback.translate)
        return self._translate(segments, pair, ask, counted=False)

    def look_up(self, documents: Sequence[str], pair: Pair) -> list[str | None]:
        """Translations of the documents that equal an entry, None for the others; the fallback is not asked.

        Raises:
            DataError: as ``translate``.
        """
        entries = self._of(pair)
        found = [_around(document, entries.equal(document)) for document in documents]
        self._counts["equal"] += len(found) - found.count(None)
        return found

    def usage(self) -> dict[str, float]:
        """Texts found ``equal``, ``similar`` or not at all (``missing``), and what the fallback has used.

        Different segments of a call count once, those that are asked for again or in parts not once more.
        """
        return {**self._counts, **(self._fallback.usage() if hasattr(self._fallback, "usage") else {})}

    def raise_failure(self) -> None:
        """Raise what the fallback has kept back."""
        if hasattr(self._fallback, "raise_failure"):
            self._fallback.raise_failure()

    def _are_parts(self, segments: Sequence[str]) -> bool:
        """Whether all of them stand inside those that were asked for again: nothing says so, but they follow them."""
        return bool(self._again) and all(any(segment in whole for whole in self._again) for segment in segments)

    def _translate(
        self, segments: Sequence[str], pair: Pair, fallback: Any, counted: bool
    ) -> list[str | Translation | None]:
        entries = self._of(pair)
        found = {segment: self._find(segment, entries) for segment in dict.fromkeys(segments)}
        if counted:
            self._counts.update(how for how, _ in found.values() if how)
        results = [found[segment][1] for segment in segments]
        missing = [number for number, result in enumerate(results) if result is None]
        if fallback is not None and missing:
            asked = [segments[number] for number in missing]
            name = f"{type(self._fallback).__name__} (fallback of memory)"
            translations = kept_contract(fallback(asked, pair), asked, name)
            for number, translation in zip(missing, translations, strict=True):
                results[number] = translation
        return results

    def _find(self, segment: str, entries: Entries) -> tuple[str | None, str | Translation | None]:
        """How a segment was found (None where there is nothing to find), and its translation."""
        if not segment.strip():
            return None, segment
        found = _around(segment, entries.equal(segment))
        if found is not None:
            return "equal", found
        similar = entries.similar(segment, self._memory.min_similarity) if self._memory.min_similarity else None
        if similar is not None:
            return "similar", Translation(_around(segment, similar.text), similar.score)
        return "missing", None

    def _of(self, pair: Pair) -> Entries:
        """The entries of a direction, read once."""
        if pair not in self._entries:
            entries = Entries(self._memory, pair)
            if not entries.targets and self._fallback is None:
                raise DataError(
                    f"{', '.join(self._memory.files)}: no entry from {pair.source} to {pair.target}. Languages in "
                    f"there: {', '.join(sorted(entries.languages)) or 'none'}. Add a file that has both, or a fallback."
                )
            self._entries[pair] = entries
        return self._entries[pair]


class Entries:
    """What a memory's files have in one direction.

    Attributes:
        targets: translation by source text; where the files contradict each other, the first one.
        languages: all that the files speak.

    Raises:
        DataError: a file is broken or missing.
    """

    def __init__(self, memory: Memory, pair: Pair):
        self._case_sensitive = memory.case_sensitive
        self.targets: dict[str, str] = {}
        self.languages: set[str] = set()
        for file in memory.files:
            for unit in read_units(Path(file)):
                self.languages.update(tag for tag, _ in unit)
                self._add(unit, base_tag(pair.source), base_tag(pair.target))

    def equal(self, text: str) -> str | None:
        """The translation of an entry that equals the text."""
        return self.targets.get(self._key(text))

    def similar(self, text: str, least: float) -> Translation | None:
        """The translation of the most similar entry with the same numbers, the first of several; scored."""
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import extractOne

        key = self._key(text)
        choices = self._by_numbers.get(_numbers(key), [])
        found = extractOne(key, choices, scorer=Levenshtein.normalized_similarity, score_cutoff=least)
        return None if found is None else Translation(self.targets[found[0]], math.log(found[1]))

    def _add(self, unit: Unit, source: str, target: str) -> None:
        translation = next((text.strip() for tag, text in unit if tag == target and text.strip()), None)
        if translation is not None:
            for tag, text in unit:
                if tag == source and text.strip():
                    self.targets.setdefault(self._key(text), translation)

    @cached_property
    def _by_numbers(self) -> dict[tuple[str, ...], list[str]]:
        """Source texts by the numbers in them: "3 days" must never stand for "4 days"."""
        grouped: dict[tuple[str, ...], list[str]] = {}
        for source in self.targets:
            grouped.setdefault(_numbers(source), []).append(source)
        return grouped

    def _key(self, text: str) -> str:
        return text.strip() if self._case_sensitive else text.strip().casefold()


def _around(text: str, translation: str | None) -> str | None:
    """The translation with the white space that stands around the text."""
    inner = text.strip()
    start = text.find(inner)
    return None if translation is None else text[:start] + translation + text[start + len(inner) :]


def _numbers(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+", text))


def _digest(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise DataError(
            f"{path}: cannot read the translation memory ({error.strerror}). Check translator.files."
        ) from None
