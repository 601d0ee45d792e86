"""Human translations, and faults planted into them: what filters must keep, and what they must find."""

from __future__ import annotations

import csv
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from langxfer.data import ParallelExample, Turn
from tests.benchmarks.faulty import FAULTY

DATA = Path(__file__).parents[3] / "shared" / "data"
FLORES = {"en": "eng_Latn", "de": "deu_Latn", "zh": "zho_Hans", "ko": "kor_Hang"} | {
    "id": "ind_Latn",
    "sw": "swh_Latn",
    "yo": "yor_Latn",
}
NTREX = {"en": "src.eng", "de": "ref.deu", "zh": "ref.zho-CN", "ko": "ref.kor"} | {
    "id": "ref.ind",
    "sw": "ref.swa",
    "yo": "ref.yor",
}
TARGETS = tuple(FLORES)[1:]
SENTENCES = 3  # of a document
PROMPT = "?"  # says nothing, so that every verdict is about the response


@dataclass(frozen=True)
class Texts:
    """Sentences by language tag, aligned, and to which document each belongs.

    ``faulty`` are places of sentences whose human translation into a language is known to have a fault.
    """

    by_tag: Mapping[str, Sequence[str]]
    documents: Sequence[str]
    faulty: Mapping[str, Collection[int]] = field(default_factory=dict)

    def pieces(self, size: int) -> Iterator[range]:
        """Runs of ``size`` sentences of one document, without overlap."""
        for _, group in groupby(range(len(self.documents)), lambda i: self.documents[i]):
            own = list(group)
            yield from (range(start, start + size) for start in own[: len(own) - size + 1 : size])

    def joined(self, tag: str, piece: range) -> str:
        return ("" if tag == "zh" else " ").join(self.by_tag[tag][i].strip() for i in piece)


def read_flores(folder: Path = DATA / "flores") -> Texts:
    """1,004 sentences of many documents; which ones is not known, so each is its own."""
    found: dict[str, dict[tuple[str, str], str]] = {tag: {} for tag in FLORES}
    for tag, code in FLORES.items():
        for split in ("train", "dev", "test"):
            with open(folder / code / f"{split}.tsv", encoding="utf-8", newline="") as file:
                rows = csv.DictReader(file, delimiter="\t")
                found[tag] |= {(split, row["index_id"]): row["text"] for row in rows}
    common = [key for key in found["en"] if all(key in own for own in found.values())]
    by_tag = {tag: [own[key] for key in common] for tag, own in found.items()}
    return Texts(by_tag, [str(key) for key in common], FAULTY["flores"])


def read_ntrex(folder: Path = DATA / "ntrex") -> Texts:
    """1,997 sentences of 123 news articles."""
    texts = {tag: _lines(folder / f"newstest2019-{name}.txt") for tag, name in NTREX.items()}
    documents = [line.split("\t")[0] for line in _lines(folder / "DOCUMENT_IDS.tsv")]
    assert {len(own) for own in texts.values()} == {len(documents)}
    return Texts(texts, documents, FAULTY["ntrex"])


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")


def example(name: str, source: str, target: str, tag: str) -> ParallelExample:
    return ParallelExample(name, Turn(PROMPT, source, "en"), Turn(PROMPT, target, tag), "planted")


def clean(texts: Texts, tag: str) -> list[ParallelExample]:
    """Every sentence with its human translation."""
    pairs = zip(texts.by_tag["en"], texts.by_tag[tag], strict=True)
    return [example(str(i), source, target, tag) for i, (source, target) in enumerate(pairs)]


def sound(texts: Texts, tag: str) -> list[ParallelExample]:
    """The clean pairs without those whose human translation is known to have a fault."""
    faulty = texts.faulty.get(tag, ())
    return [one for i, one in enumerate(clean(texts, tag)) if i not in faulty]


# ---------------------------------------------------------------- faults


def wrong_language(texts: Texts, tag: str, chance: random.Random) -> Iterator[ParallelExample]:
    """The same sentence in another of the target languages."""
    for i, source in enumerate(texts.by_tag["en"]):
        other = chance.choice([own for own in TARGETS if own != tag])
        yield example(str(i), source, texts.by_tag[other][i], tag)


def truncated_sentence(texts: Texts, tag: str, chance: random.Random) -> Iterator[ParallelExample]:
    """The first 40 to 50 % of the words of a sentence (Chinese: characters), of four at least."""
    for i, (source, target) in enumerate(zip(texts.by_tag["en"], texts.by_tag[tag], strict=True)):
        parts = _words(target, tag)
        if len(parts) >= 4:
            kept = parts[: max(1, int(len(parts) * chance.uniform(0.4, 0.5)))]
            yield example(str(i), source, _joined(kept, tag), tag)


def truncated_document(texts: Texts, tag: str, chance: random.Random) -> Iterator[ParallelExample]:
    """Of three sentences the first, or the first two, where that is at most half of the characters."""
    for piece in texts.pieces(SENTENCES):
        source, target = texts.joined("en", piece), texts.joined(tag, piece)
        cuts = [texts.joined(tag, piece[:count]) for count in range(1, SENTENCES)]
        if short := [cut for cut in cuts if len(cut) <= len(target) / 2]:
            yield example(str(piece[0]), source, chance.choice(short), tag)


def looped(texts: Texts, tag: str, chance: random.Random) -> Iterator[ParallelExample]:
    """The last one to five words (Chinese: two to eight characters) come three to ten times more."""
    for i, (source, target) in enumerate(zip(texts.by_tag["en"], texts.by_tag[tag], strict=True)):
        parts = _words(target, tag)
        size = chance.randint(2, 8) if tag == "zh" else chance.randint(1, 5)
        phrase = parts[-size:]
        yield example(str(i), source, _joined(parts + phrase * chance.randint(3, 10), tag), tag)


def untranslated(texts: Texts, tag: str, chance: random.Random) -> Iterator[ParallelExample]:
    """The source itself in place of its translation."""
    for i, source in enumerate(texts.by_tag["en"]):
        yield example(str(i), source, source, tag)


def half_translated(texts: Texts, tag: str, chance: random.Random) -> Iterator[ParallelExample]:
    """Of two sentences one stays in English."""
    for piece in texts.pieces(2):
        left = chance.choice(piece)
        parts = [texts.by_tag["en" if i == left else tag][i].strip() for i in piece]
        yield example(str(piece[0]), texts.joined("en", piece), " ".join(parts), tag)


NUMBER = re.compile(r"(?<![:\d.,])\d+(?:[.,]\d+)*(?![:\d])")  # no times of day


def lost_number(texts: Texts, tag: str, chance: random.Random) -> Iterator[ParallelExample]:
    """A number that both texts have, 13 at least or with a part after a point, is taken out; then: gets another digit.

    It is one that the translation has once, with the same digits as its source (24.000 and 24,000, not 2.4万).
    """
    for i, (source, target) in enumerate(zip(texts.by_tag["en"], texts.by_tag[tag], strict=True)):
        there, own = (Counter(_digits(number) for number in NUMBER.findall(text)) for text in (source, target))
        for match in NUMBER.finditer(target):
            shared = there[_digits(match[0])] and own[_digits(match[0])] == 1
            if shared and not (match[0].isdigit() and int(match[0]) < 13):
                before, after = target[: match.start()], target[match.end() :]
                yield example(f"{i}/{match.start()}/out", source, before.rstrip() + after, tag)
                yield example(f"{i}/{match.start()}/other", source, before + _other(match[0], chance) + after, tag)


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _other(number: str, chance: random.Random) -> str:
    """The number with one digit replaced by another one, the first never by 0."""
    at = chance.choice([i for i, character in enumerate(number) if character.isdigit()])
    digit = chance.choice([d for d in "123456789" if d != number[at]])
    return number[:at] + digit + number[at + 1 :]


def _words(text: str, tag: str) -> list[str]:
    return list(text.strip()) if tag == "zh" else text.split()


def _joined(words: Sequence[str], tag: str) -> str:
    return ("" if tag == "zh" else " ").join(words)


Faults = Callable[[Texts, str, random.Random], Iterator[ParallelExample]]
FAULTS: Mapping[str, Faults] = {
    "wrong language": wrong_language,
    "truncated sentence": truncated_sentence,
    "truncated document": truncated_document,
    "looped": looped,
    "untranslated": untranslated,
    "half translated": half_translated,
    "lost number": lost_number,
}
