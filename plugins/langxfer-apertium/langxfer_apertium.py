"""Apertium: rule-based translation by an installed command-line program, hundreds of sentences a second on a CPU.

The program is called, never imported or shipped: it is under the GPL, version 2 or later. Segments go through it
many at a time, each followed by a numbered format mark that it passes on untouched. An answer with other marks than
were sent is not believed: its segments are asked for again in smaller numbers, in the end one by one.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from langxfer import LangxferError, OpenTranslator, Pair, RecipeError, Translation, Translator, hookimpl
from langxfer.languages import LANGUAGES

FAILED = "apertium failed"
PROBE = "1"  # what any language pair can translate
SHARE = "share/apertium"  # folder of language data, below that of the program's "bin"
FOLDER = "/usr/share/apertium"  # where there is none beside the program, and neither recipe nor environment say one

# Codes of language pairs that are neither the BCP-47 tag nor the ISO 639-3 code inside the FLORES code.
OTHER_CODES = {"ar": "ara", "bs": "hbs", "hr": "hbs", "ms": "zlm", "no": "nob", "sr": "hbs"}

# Apertium's stream format: these stand for themselves behind a backslash.
RESERVED = re.compile(r"[\[\]{}^$/\\@<>]")
# What the program loses or chokes on travels as a format mark: [u000A]. "~" is its wake-up mark for spelling rules.
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f~\u00ad\ud800-\udfff]")
# An escaped character, an end of segment (with the full stop that was put there), a mark, or anything else.
TOKEN = re.compile(
    r"\\(?P<escaped>.)|\.?\[\]\[m(?P<end>\d+)\]|\[u(?P<code>[0-9A-F]{4})\]|(?P<other>[^\\[.]+|.)", re.DOTALL
)


class Apertium(Translator):
    """A translator that calls the installed program ``apertium`` (https://www.apertium.org) with installed data.

    Languages are those of the installed pairs, each in the directions that the pair has. Its rules look at
    neighbouring sentences now and then, so that a word can come out differently (measured English to Spanish: one
    sentence in 25, between one order of sentences and another); the segment cache keeps what came first.
    """

    device_counts: ClassVar[bool] = False  # the program knows no other than the processor
    name: Literal["apertium"] = "apertium"
    program: str = Field("apertium", min_length=1, description="Name or path of the program.")
    data: str | None = Field(None, description="Folder of language data; null: the program's own.")
    variant: str | None = Field(
        None, description="Variant of the target language, such as valencia for Catalan; null: the pair's default."
    )
    unknown_marks: bool = Field(False, description="Whether words that it does not know get an asterisk.")
    timeout: float = Field(120.0, gt=0, description="Seconds that one call of the program may take.")

    def languages(self) -> frozenset[str]:
        """All languages of the installed pairs; ``cannot`` says which directions are not among them.

        Raises:
            RecipeError: the program is not installed.
        """
        codes = {code.split("_")[0] for mode in self.modes() for code in mode.split("-")[:2]}
        return frozenset(tag for tag in LANGUAGES if codes & set(_codes(tag)))

    def cannot(self, pair: Pair) -> str | None:
        """That the program or the pair is not installed, and what to install."""
        try:
            modes = self.modes()
        except RecipeError as error:
            return str(error).rstrip(".")
        if self._mode(pair, modes):
            return None
        wanted = "-".join(_codes(tag)[0] for tag in (pair.source, pair.target))
        variant = f" in the variant {self.variant}" if self.variant else ""
        return (
            f'translator "apertium" has no installed pair from {pair.source} to {pair.target}{variant}. Installed: '
            f"{', '.join(modes) or 'none'}. Install one if there is one, by a name like apertium-{wanted} (either "
            "order), or go through a third language with translator pivot"
        )

    def identity(self) -> dict[str, Any]:
        """The program's version and a digest of the language data, wherever they are.

        Raises:
            RecipeError: the program is not installed.
        """
        folder = self._folder()
        digest = _digest(folder, _newest(folder)) if folder else None
        return {"program": self._ask("-V").strip(), "data": digest}

    def what(self) -> dict[str, Any]:
        """All but how long it may take."""
        return {name: value for name, value in super().what().items() if name != "timeout"}

    def resolve(self, folder: Path) -> Apertium:
        """A relative folder of data is taken from the recipe's folder."""
        return self if self.data is None else self.model_copy(update={"data": str((folder / self.data).resolve())})

    @contextmanager
    def open(self, device: str, cache: Path) -> Iterator[OpenTranslator]:
        """Ready to translate; nothing runs between calls."""
        yield _OpenApertium(self)

    def modes(self) -> list[str]:
        """Directions that are installed, in the program's words: ``eng-spa``, ``eng-cat_valencia``.

        Raises:
            RecipeError: the program is not installed.
        """
        return sorted(name for name in self._ask("-l").split() if "-" in name and "*" not in name)

    def mode(self, pair: Pair) -> str:
        """The installed direction for a pair of languages.

        Raises:
            RecipeError: there is none, or no program.
        """
        found = self._mode(pair, self.modes())
        if found is None:
            raise RecipeError(f"{self.cannot(pair)}.")
        return found

    def call(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run the program with a text as its input.

        Raises:
            RecipeError: it is not installed, or cannot be run.
            subprocess.TimeoutExpired: it took more than ``timeout``.
        """
        program = shutil.which(self.program)
        if program is None:
            raise RecipeError(
                f'translator "apertium" needs the program {self.program}, which is not installed. Install it with the '
                "data of a pair, for instance: apt install apertium apertium-eng-spa"
            )
        command = [program, *(["-d", self.data] if self.data else []), *arguments]
        try:
            return subprocess.run(command, input=text.encode(), capture_output=True, timeout=self.timeout, check=False)
        except OSError as error:
            raise RecipeError(f"{program} cannot be run ({error.strerror}). Check translator.program.") from None

    def _mode(self, pair: Pair, modes: Sequence[str]) -> str | None:
        end = f"_{self.variant}" if self.variant else ""
        sources, targets = _codes(pair.source), _codes(pair.target)
        wanted = [f"{source}-{target}{end}" for source in sources for target in targets]
        return next((mode for mode in wanted if mode in modes), None)

    def _ask(self, option: str) -> str:
        try:
            return self.call(option).stdout.decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            raise RecipeError(f"{self.program} {option} gave no answer in {self.timeout:g} seconds.") from None

    def _folder(self) -> Path | None:
        """Where the program takes its language data from; None where that is nowhere to be found."""
        said = self.data or os.environ.get("APERTIUM_DATADIR")
        if said:
            folders = [Path(said)]
        else:
            program = shutil.which(self.program)
            folders = [*([Path(program).resolve().parent.parent / SHARE] if program else []), Path(FOLDER)]
        return next((folder for folder in folders if folder.is_dir()), None)


class _OpenApertium:
    def __init__(self, apertium: Apertium):
        self._apertium = apertium
        self._modes: dict[Pair, str] = {}

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | Translation | None]:
        """Translations in the same order and of the same number; outer white space stays.

        Raises:
            RecipeError: the program or the pair is not installed.
            LangxferError: the program cannot translate anything.
        """
        mode = self._modes.get(pair) or self._modes.setdefault(pair, self._apertium.mode(pair))
        texts = [segment.strip() for segment in segments]
        distinct = [text for text in dict.fromkeys(texts) if text]
        known = dict(zip(distinct, self._translated(distinct, mode), strict=True))
        return [_around(segment, text, known.get(text, "")) for segment, text in zip(segments, texts, strict=True)]

    def _translated(self, texts: list[str], mode: str) -> list[str | None]:
        """Translations of texts that are not blank; in halves where the program's answer cannot be believed."""
        if not texts:
            return []
        answer, error = self._run(texts, mode)
        found = read(answer, len(texts)) if error is None else None
        if found is not None:
            return list(found)
        if len(texts) > 1:
            middle = len(texts) // 2
            return [*self._translated(texts[:middle], mode), *self._translated(texts[middle:], mode)]
        if texts == [PROBE] or read(self._run([PROBE], mode)[0], 1) is None:
            raise LangxferError(
                f"apertium cannot translate anything from {mode.replace('-', ' to ')}: {error or 'no answer'}. "
                f"Try: echo 1 | {self._apertium.program} {mode}"
            )
        return [None]

    def _run(self, texts: Sequence[str], mode: str) -> tuple[str, str | None]:
        """What the program answers, and what went wrong, if anything did."""
        options = [] if self._apertium.unknown_marks else ["-u"]
        try:
            done = self._apertium.call("-f", "none", *options, mode, text=written(texts))
        except subprocess.TimeoutExpired:
            return "", f"no answer in {self._apertium.timeout:g} seconds"
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"it ended with code {done.returncode}"]
        return done.stdout.decode("utf-8", "replace"), lines[-1] if done.returncode else None


def written(texts: Sequence[str]) -> str:
    """Texts in Apertium's stream format, each with a full stop and a numbered mark behind it."""
    return "".join(f"{_escaped(text)}.[][m{number}]\n" for number, text in enumerate(texts))


def read(answer: str, count: int) -> list[str] | None:
    """The texts in an answer; None where its marks are not those of ``count`` texts in order."""
    texts: list[str] = []
    characters: list[str] = []
    for token in TOKEN.finditer(answer):
        if token["end"] is not None:
            if int(token["end"]) != len(texts):
                return None
            texts.append("".join(characters).strip())
            characters = []
        else:
            characters.append(chr(int(token["code"], 16)) if token["code"] else token["escaped"] or token["other"])
    return texts if len(texts) == count and not "".join(characters).strip() else None


def _escaped(text: str) -> str:
    escaped = RESERVED.sub(lambda found: f"\\{found[0]}", text)
    return UNSAFE.sub(lambda found: f"[u{ord(found[0]):04X}]", escaped)


def _around(segment: str, text: str, translation: str | None) -> str | Translation | None:
    """The translation with the white space around the segment."""
    if translation is None:
        return Translation(None, problem=FAILED)
    start = segment.find(text)
    return segment[:start] + translation + segment[start + len(text) :]


def _codes(tag: str) -> list[str]:
    """What Apertium may call a language, most usual first: ISO 639-3, another code, the tag."""
    row = LANGUAGES.get(tag)
    three_letters = row.nllb.split("_")[0] if row and row.nllb else None
    return list(dict.fromkeys(code for code in (OTHER_CODES.get(tag), three_letters, tag) if code))


def _newest(folder: Path) -> int:
    return max((path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()), default=0)


@lru_cache
def _digest(folder: Path, newest: int) -> str:
    """SHA-256 of all language data below a folder; ``newest`` stands for its state."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{digest.hexdigest()}"


@hookimpl
def register_translators() -> list[type[Translator]]:
    return [Apertium]
