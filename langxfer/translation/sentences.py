"""Where sentences end, and where a sentence can be cut when it is too long for a translator."""

from __future__ import annotations

import re

from sentencex import segment as sentencex_segments

# Quotation marks, which keep sentencex from ending a sentence inside them: quotations run over many sentences, and a
# lone mark would take the rest of the text along. An apostrophe inside a word is no such mark. Lone surrogates are
# not UTF-8, which the library wants. A space in their place keeps the lengths.
_UNSEEN = re.compile("[\"'“”„‟‘’«»‹›「」『』\ud800-\udfff](?:(?<!['‘’])|(?<![^\\W_].)|(?![^\\W_]))")
_CLOSING = "\"'”’»›」』】）)\\]*_"
_AFTER_END = re.compile(rf"[{_CLOSING}]*\s*(?:[\"'”’]\s+)?")
_AFTER_END_LOW = re.compile(
    rf"[{_CLOSING}“‘]*\s*(?:[\"'“‘]\s+)?"
)  # „so closes a quotation“ there; elsewhere “ opens one
_LOW_QUOTES = ("bg", "bs", "cs", "de", "et", "hr", "is", "lb", "lt", "lv", "mk", "sk", "sl", "sq", "sr")
_BEFORE_END = re.compile(r"[\s\"'“”„‟«»‹›「」『』‘’]+$")
_MAY_END = re.compile(r"[.!?\n]")
_FULL_WIDTH = "。！？｡．…؟۔।॥။።፧"
_SENTENCE_END = re.compile(rf"(?:\s|[{_FULL_WIDTH}][{_CLOSING}]*|[\u3040-\u9fff][!?][{_CLOSING}]*)$")

# Ends that sentencex does not see: full-width marks without a space after them, and full stops before a number. A short
# word before the number may be an abbreviation: No. 5, chap. 2.
_MORE_ENDS = re.compile(
    rf"""[。！？｡.!?] (?:
        (?<= [。！？｡] ) [。！？｡]* [{_CLOSING}]* \s*
      | (?: (?<= [^\W\d_]{{5}}. ) | (?<= [가-힣]{{2}}. ) ) [{_CLOSING}]* \s+ (?=\d) )""",
    re.VERBOSE,
)

# After these sentencex ends a sentence, and none ends. Measured on NTREX and FLORES, see docs/results.md.
_TITLES = {
    "de": "Hr Fr Frl bspw",
    "en": "Ms",
    "id": "Tn Ny Sdr Sdri Bpk Drs Dra Jl Gg hlm dkk",
    "sw": "Bw Bi Dk Dkt Mwl Mhe Prof",
}
_ABBREVIATION = {tag: re.compile(rf"(?<!\w)(?:{'|'.join(words.split())})\.\s*$") for tag, words in _TITLES.items()}
_NOWHERE = re.compile(r"(?!)")
_INITIAL = re.compile(r"(?<![\w.'’])[A-Z]\.\s*$")
_ORDINAL = re.compile(r"(?<![\w.,:])\d{1,2}\.\s*$")
_ORDINAL_LANGUAGES = (
    "bs",
    "cs",
    "da",
    "de",
    "et",
    "fi",
    "hr",
    "hu",
    "is",
    "lv",
    "nb",
    "nn",
    "no",
    "sk",
    "sl",
    "sr",
    "tr",
)

_CLAUSE_END = re.compile(r"[;:,–—](?=\s)|[，、；：،؛]")
_SPACE = re.compile(r"\s+")
# Where phrases of Japanese (hiragana before another script) and Chinese (after a particle) end, which have no spaces.
_PHRASE_END = {"ja": re.compile(r"[ぁ-ん](?=[一-鿿ァ-ヶ])"), "zh": re.compile(r"[的了着著過过]")}


def split_sentences(text: str, language: str) -> list[str]:
    """The sentences of ``text``, each with the white space that follows it; they join to the very text.

    The boundaries are those of sentencex (Wikimedia), also inside quotations, less those inside a word, before a
    small letter, and after initials, ordinals and abbreviations that it does not know.

    Args:
        text: prose; a line break ends no sentence unless an empty line follows.
        language: BCP-47 tag.
    """
    if text.isascii() and not _MAY_END.search(text, 0, len(text) - 1):  # most lines are one sentence
        return [text] if text else []
    primary = language.split("-")[0]
    sentences, start = [], 0
    for end in _ends(text, primary):
        if end > start and (end == len(text) or _is_end(text, start, end, primary)):
            sentences.append(text[start:end])
            start = end
    return sentences


def _ends(text: str, language: str) -> list[int]:
    """Where a sentence may end, in order; closing marks and white space after the full stop are the sentence's."""
    marks = _AFTER_END_LOW if language in _LOW_QUOTES else _AFTER_END
    ends = {len(text)}
    position = 0
    for piece in sentencex_segments(language, _UNSEEN.sub(" ", text))[:-1]:
        position += len(piece)
        before = _BEFORE_END.search(text, max(0, position - 20), position)
        after = marks.match(text, before.start() if before else position)
        ends.add(after.end() if after else position)
    ends.update(found.end() for found in _MORE_ENDS.finditer(text))
    return sorted(ends)


def _is_end(text: str, start: int, end: int, language: str) -> bool:
    tail = text[max(start, end - 30) : end]
    return (
        _SENTENCE_END.search(tail) is not None
        and not text[end].islower()
        and not _ABBREVIATION.get(language, _NOWHERE).search(tail)
        and not _INITIAL.search(tail)
        and not (language in _ORDINAL_LANGUAGES and _ORDINAL.search(tail))
    )


def split_further(segment: str, language: str) -> list[str]:
    """Two pieces that join to the segment, cut after the clause mark nearest to the middle, else at a space.

    Chinese and Japanese, which have no spaces, are cut at the end of a phrase instead. One piece where there is no
    place to cut that leaves a letter on both sides.

    Args:
        segment: one sentence.
        language: BCP-47 tag.
    """
    for places in (_CLAUSE_END, _SPACE, _PHRASE_END.get(language.split("-")[0], _NOWHERE)):
        cuts = [found.end() for found in places.finditer(segment)]
        cuts = [cut for cut in cuts if has_letter(segment[:cut]) and has_letter(segment[cut:])]
        if cuts:
            cut = min(cuts, key=lambda place: abs(2 * place - len(segment)))
            return [segment[:cut], segment[cut:]]
    return [segment]


def has_letter(text: str) -> bool:
    """Whether there is anything to translate: digits, signs and emoji are the same in every language."""
    return text[:1].isalpha() or any(map(str.isalpha, text))
