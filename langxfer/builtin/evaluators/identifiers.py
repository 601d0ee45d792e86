"""The language identifiers that evaluators may use: py3langid, lingua, or a fastText model from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from langxfer.errors import DataError, RecipeError
from langxfer.languages import LANGUAGES
from langxfer.translation.identification import TWINS, Classify, load_identifier

PY3LANGID, LINGUA = "py3langid", "lingua"
PACKAGED = (PY3LANGID, LINGUA)

# lingua chooses among the languages that are asked and these: what English-centric models fall back to, and close
# relatives of the languages of the CLO paper. All 75 would take a gigabyte and draw short lines away.
_BESIDE = ("en", "de", "fr", "es", "pt", "it", "nl", "ru", "ar", "hi", "tr", "vi", "id", "ms", "sw", "yo", "zh", "ja")


@dataclass(frozen=True)
class Identifier:
    """An identifier that is ready.

    Attributes:
        classify: text without line breaks -> label and confidence between 0 and 1.
        labels: by BCP-47 tag, the labels that count as this language; a language without any cannot be identified.
    """

    classify: Classify
    labels: Mapping[str, frozenset[str]]

    def labels_with_twins(self, tag: str) -> frozenset[str]:
        """The labels of a language, and of those that identifiers confuse it with: Malay for Indonesian."""
        return self.labels[tag].union(*(self.labels[twin] for twin in TWINS.get(tag, ())))


def identifier_version(identifier: str) -> str:
    """What decides its answers: ``py3langid-0.4.0``, or ``fasttext-`` with eight digits of the model file's SHA-256.

    Raises:
        RecipeError: its package is not installed.
        DataError: the model file cannot be read.
    """
    if identifier == PY3LANGID:
        return f"{PY3LANGID}-{version('py3langid')}"
    if identifier == LINGUA:
        try:
            return f"{LINGUA}-{version('lingua-language-detector')}"
        except PackageNotFoundError:
            raise _missing(LINGUA, "lingua-language-detector", "lingua") from None
    try:
        with open(identifier, "rb") as file:
            return f"fasttext-{hashlib.file_digest(file, 'sha256').hexdigest()[:8]}"
    except OSError as error:
        raise DataError(
            f"identifier: cannot read the fastText model {identifier} ({error.strerror}). Expected py3langid, lingua, "
            "or a file such as lid.176.bin."
        ) from None


def unidentifiable(tag: str, identifier: str = PY3LANGID) -> str:
    """Why a language cannot be asked."""
    return f'{identifier} cannot identify "{tag}" ({LANGUAGES[tag].name}), so no answer would count as right'


def load(identifier: str, tags: Iterable[str]) -> Identifier:
    """The identifier of a name or a model file, ready to tell these languages.

    Raises:
        RecipeError: its package is not installed.
        DataError: it does not know one of the languages, or the model file cannot be used.
    """
    wanted = tuple(tags)
    if identifier == PY3LANGID:
        ready = Identifier(_py3langid(), _py3langid_labels())
    else:
        ready = _lingua(wanted) if identifier == LINGUA else _fasttext(identifier)
    _check(identifier, wanted, ready.labels)
    return ready


def check_identifiable(identifier: str, tags: Iterable[str]) -> None:
    """See that an identifier can tell these languages; py3langid is asked without being loaded.

    Raises:
        RecipeError: its package is not installed.
        DataError: it does not know one of the languages, or the model file cannot be used.
    """
    if identifier == PY3LANGID:
        _check(identifier, tags, _py3langid_labels())
    else:
        load(identifier, tags)


def _check(identifier: str, tags: Iterable[str], labels: Mapping[str, frozenset[str]]) -> None:
    for tag in tags:
        if not labels[tag]:
            raise DataError(f"{unidentifiable(tag, identifier)}. Leave it out of languages.")


@cache
def _py3langid() -> Classify:
    """Loaded once; it takes 0.3 s."""
    return load_identifier()


def _py3langid_labels() -> dict[str, frozenset[str]]:
    return {tag: frozenset(row.identifier) for tag, row in LANGUAGES.items()}


def _lingua(wanted: Iterable[str]) -> Identifier:
    try:
        from lingua import Language, LanguageDetectorBuilder
    except ImportError:
        raise _missing(LINGUA, "lingua-language-detector", "lingua") from None
    codes = {language.iso_code_639_1.name.lower(): language for language in Language.all()}
    chosen = {codes[code] for tag in (*wanted, *_BESIDE) if (code := _primary(tag)) in codes}
    detector = LanguageDetectorBuilder.from_languages(*chosen).build()

    def classify(text: str) -> tuple[str, float]:
        best = detector.compute_language_confidence_values(text)[0]
        return best.language.iso_code_639_1.name.lower(), best.value

    return Identifier(classify, {tag: frozenset({_primary(tag)} & codes.keys()) for tag in LANGUAGES})


def _fasttext(path: str) -> Identifier:
    try:
        import fasttext
    except ImportError:
        raise _missing("a fastText model", "fasttext-predict", "fasttext") from None
    try:
        model = fasttext.load_model(path)
        every = {label.removeprefix("__label__") for label in model.predict("a", k=-1)[0]}
    except ValueError as error:
        raise DataError(
            f"identifier: {path} cannot be used as a fastText model ({error}). Expected a supervised model such as "
            "lid.176.bin; with the package fasttext and NumPy 2, install fasttext-predict instead."
        ) from None

    def classify(text: str) -> tuple[str, float]:
        labels, probabilities = model.predict(text)
        return labels[0].removeprefix("__label__"), min(float(probabilities[0]), 1.0)

    # lid.176 has two-letter codes; NLLB's lid218e and OpenLID have those of FLORES.
    names = {tag: {_primary(tag), row.nllb} for tag, row in LANGUAGES.items()}
    return Identifier(classify, {tag: frozenset(own & every) for tag, own in names.items()})


def _primary(tag: str) -> str:
    return tag.split("-")[0]


def _missing(what: str, package: str, extra: str) -> RecipeError:
    return RecipeError(f'identifier: {what} needs the package {package}:  pip install "langxfer[{extra}]"')


def resolve(identifier: str, folder: Path) -> str:
    """The identifier with a relative path to a model file taken from ``folder``."""
    return identifier if identifier in PACKAGED else str((folder / identifier).resolve())
