"""Translation memories: segments that people have translated already, looked up exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from langxfer.components import AnyTranslator, OpenTranslator, Pair, Translator
from langxfer.errors import DataError
from langxfer.translation import SUFFIXES, base_tag, read_units


class Memory(Translator):
    """A translator that looks segments up in TMX, TSV or JSON-lines files, in either direction.

    A segment matches when it equals an entry, white space at both ends aside. Where entries contradict
    each other, the first one wins. What no file has goes to ``fallback``, or has no translation (None).
    """

    name: Literal["memory"] = "memory"
    files: tuple[str, ...] = Field(min_length=1, description=f"Translation memories ({', '.join(SUFFIXES)}).")
    fallback: AnyTranslator | None = Field(None, description="Translator of what the files do not have.")
    case_sensitive: bool = Field(True, description="Whether upper and lower case must match.")

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
        with self.fallback.open(device, cache) as fallback:
            yield _OpenMemory(self, fallback)


class _OpenMemory:
    def __init__(self, memory: Memory, fallback: OpenTranslator | None):
        self._memory, self._fallback = memory, fallback
        self._entries: dict[Pair, dict[str, str]] = {}

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | None]:
        """Translations in the same order and of the same number; blank segments and outer white space stay.

        Raises:
            DataError: a file is broken, or no file has this direction and there is no fallback.
        """
        results = [self._look_up(segment, pair) for segment in segments]
        missing = [number for number, result in enumerate(results) if result is None]
        if self._fallback is not None and missing:
            translations = self._fallback.translate([segments[number] for number in missing], pair)
            for number, translation in zip(missing, translations, strict=True):
                results[number] = translation
        return results

    def _look_up(self, segment: str, pair: Pair) -> str | None:
        text = segment.strip()
        if not text:
            return segment
        if pair not in self._entries:
            self._entries[pair] = self._read(pair)
        found = self._entries[pair].get(self._key(text))
        start = len(segment) - len(segment.lstrip())
        return None if found is None else segment[:start] + found + segment[start + len(text) :]

    def _key(self, text: str) -> str:
        return text.strip() if self._memory.case_sensitive else text.strip().casefold()

    def _read(self, pair: Pair) -> dict[str, str]:
        entries: dict[str, str] = {}
        languages: set[str] = set()
        for file in self._memory.files:
            for unit in read_units(Path(file)):
                languages.update(tag for tag, _ in unit)
                target = next(
                    (text.strip() for tag, text in unit if tag == base_tag(pair.target) and text.strip()), None
                )
                if target is not None:
                    for tag, text in unit:
                        if tag == base_tag(pair.source) and text.strip():
                            entries.setdefault(self._key(text), target)
        if not entries and self._fallback is None:
            raise DataError(
                f"{', '.join(self._memory.files)}: no entry from {pair.source} to {pair.target}. Languages in there: "
                f"{', '.join(sorted(languages)) or 'none'}. Add a file that has both, or a fallback."
            )
        return entries


def _digest(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise DataError(
            f"{path}: cannot read the translation memory ({error.strerror}). Check translator.files."
        ) from None
