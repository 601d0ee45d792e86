"""Which letter an answer names: what follows the word for "answer" in any language of MMMLU.

Such a place is a claim. The last claim counts, whatever its language; a line that claims two letters claims none.
Compared is what is left without marks (NFKC, then combining characters dropped), case, and Markdown or LaTeX.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Words that announce an answer. Those in Latin script stand alone, the others may be inside a word (정답은).
LATIN = "answers?|antwort|losung|respuesta|reponse|risposta|resposta|jawaban|jawapan|jibu|jawabu"
YORUBA = "Ìdáhùn|Àdáhùn|Àmọ̀nà|Àṣàyàn"
OTHERS = "정답|답변|답안|답|答案|答复|回答|答え|解答|正解|答|الإجابة|الجواب|إجابة|উত্তর|उत्तर"

# What may stand between such a word and the letter, beside punctuation.
FILLERS = (
    "is|are|ist|lautet|es|est|adalah|ialah|ni|je|naa|e|would be|should be|must be|the|die|der|la|option|choice|letter|"
    "buchstabe|opcion|opcao|opzione|lettre|letra|pilihan|huruf|chaguo|herufi|sahihi|langu|yang benar|yang tepat|final|"
    "finale|correct|correcta|correcte|correta|corretta|richtige"
)
NATIVE_FILLERS = "은|는|이|가|선택지|是|为|為|选项|選項|选|は|هي|هو|النهائية|الصحيحة|النهائي"

# Labels of lists in other scripts; simple-evals knows the Arabic and Bengali ones.
LABELS = dict(zip("가나다라ابجدঅবডঢ", "ABCD" * 3, strict=True))
CIRCLED = str.maketrans({"①": " (A) ", "②": " (B) ", "③": " (C) ", "④": " (D) "})

OPEN, CLOSE = r"[\s(\[{<\"'‘“「]", r"[)\]}>.:\"'’”」。]"
LATIN_LETTER = r"[A-D](?![A-Za-z0-9_])(?!['’-][A-Za-z])"
AND = r"(?:[,/&;+、]|\b(?:and|or|und|oder|dan|atau|na|au|ati|tabi|et|ou|y|o|e)\b|와|과|및|또는|和|与|或|と)"


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(CIRCLED))
    marked = unicodedata.normalize("NFD", text)
    kept = "".join(c for c in marked if unicodedata.category(c) not in ("Mn", "Cf"))
    text = unicodedata.normalize("NFC", kept)
    text = re.sub(r"\\(?:text|textbf|mathrm|mathbf|mathsf)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\(?:boxed|fbox)\s*\{\s*\(?([A-Da-d])\)?\s*\}", r" answer: (\1) ", text)
    return re.sub(r"[*_`#~$]|\\[()\[\]]", "", text)


ANNOUNCED = re.compile(
    rf"(?<![A-Za-z])(?:{LATIN}|{_plain(YORUBA)})(?![A-Za-z])|{_plain(OTHERS)}",
    re.IGNORECASE,
)
FILLED = rf"(?P<filled>(?:\s*(?:[:=,>ঃ-]|(?:{FILLERS})(?![A-Za-z])|{_plain(NATIVE_FILLERS)})){{0,6}}?{OPEN}*)"
CLAIM = re.compile(rf"{FILLED}(?P<letter>{LATIN_LETTER}|[{''.join(LABELS)}])", re.IGNORECASE)
SECOND = re.compile(rf"(?P<closed>{CLOSE}*)(?P<joined>(?:\s*{AND})+|\s+){OPEN}*(?P<letter>{LATIN_LETTER})")
ANOTHER = re.compile(rf"(?<![A-Za-z0-9])(?<![A-Za-z]['’-])(?P<letter>{LATIN_LETTER})")
ENDED = re.compile(rf"\s*(?:{CLOSE}|,|$)", re.MULTILINE)
NATIVE_ENDED = re.compile(r"\s*(?:[)\].,:]|$)|입니다|이다|번", re.MULTILINE)
LONE = re.compile(rf"\s*{OPEN}*(?P<letter>[A-D]){CLOSE}*\s*")


@dataclass(frozen=True)
class _Claim:
    """``letter`` is None where two are named."""

    letter: str | None
    line: int


def extract(answer: str) -> str | None:
    """``A`` to ``D``, or None where an answer names no letter, or more than one.

    An answer, or its last line, that is a capital letter and nothing else counts where nothing is announced.
    """
    text = _plain(answer)
    claims = list(_claims(text))
    if not claims:
        lines = [line for line in text.splitlines() if line.strip()]
        lone = LONE.fullmatch(lines[-1]) if lines else None
        return lone["letter"] if lone else None
    named = {claim.letter for claim in claims if claim.line == claims[-1].line}
    return claims[-1].letter if len(named) == 1 else None


def extract_strictly(answer: str, words: Sequence[str]) -> str | None:
    """The letter where the last line is ``WORD: LETTER`` and nothing else, marks and case of the word aside."""
    lines = [line for line in _plain(answer).splitlines() if line.strip()]
    allowed = "|".join(re.escape(_plain(word)) for word in words)
    found = (
        re.fullmatch(rf"\s*['\"]?(?:{allowed})\s*:\s*([A-D])['\".]*\s*", lines[-1], re.IGNORECASE) if lines else None
    )
    return found[1].upper() if found else None


def _claims(text: str) -> Iterator[_Claim]:
    for announced in ANNOUNCED.finditer(text):
        claim = CLAIM.match(text, announced.end())
        if claim and _is_meant(claim, text):
            letter = claim["letter"].upper()
            letter = LABELS.get(letter, letter)
            rest = _rest_of_line(text, claim.end())
            yield _Claim(None if _names_another(letter, rest) else letter, text.count("\n", 0, claim.end()))
        elif len({found["letter"] for found in _letters(_rest_of_line(text, announced.end()))}) > 1:
            yield _Claim(None, text.count("\n", 0, announced.end()))


def _is_meant(claim: re.Match[str], text: str) -> bool:
    """A letter, and not the first word of a sentence: ``Answer: a matter of taste``, ``정답: 다 맞다``."""
    letter, filled = claim["letter"], claim["filled"]
    if letter in LABELS:
        return bool(NATIVE_ENDED.match(text, claim.end()))
    ended = bool(ENDED.match(text, claim.end()))
    if letter.islower():
        return ended and bool(re.search(r"[:=(\[]", filled))
    return ended or ("\n" not in filled and bool(filled.strip()))


def _names_another(letter: str, rest: str) -> bool:
    """Whether the rest of the line joins or opposes a second letter: ``B or C``, ``B, not C``.

    ``B) Vitamin C`` repeats the option, and ``B. A cat`` goes on with an article.
    """
    second = SECOND.match(rest)
    if second and second["letter"] != letter and second["joined"].strip():
        return True
    if re.match(CLOSE, rest):
        return False
    return any(found["letter"] != letter for found in _letters(rest))


def _letters(rest: str) -> list[re.Match[str]]:
    """Capital letters that stand alone, but no English article."""
    found = ANOTHER.finditer(rest)
    return [one for one in found if not (one["letter"] == "A" and re.match(r" [a-z]", rest[one.end() :]))]


def _rest_of_line(text: str, start: int) -> str:
    """Up to the next line, or to the next claim, which speaks for itself."""
    line = text[start:].split("\n", 1)[0]
    following = ANNOUNCED.search(line)
    return line[: following.start()] if following else line
