"""Which letter an answer names: what follows the word for "answer" in any language of MMMLU.

Such a place is a claim. The last claim counts, whatever its language; a line that claims two letters claims none.
"Answer A: wrong" and "정답은 A가 아닙니다" name a letter and claim none, so what was claimed before stands.
Compared is what is left without marks (NFKC, then combining characters dropped), case, and Markdown or LaTeX.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

RULES = 2  # raised when other letters begin to be read

# Words that announce an answer. Those in Latin script stand alone, the others may be inside a word (정답은).
LATIN = "answers?|antwort|losung|respuesta|reponse|risposta|resposta|jawaban|jawapan|jibu|jawabu"
YORUBA = "Ìdáhùn|Àdáhùn|Àmọ̀nà|Àṣàyàn"
OTHERS = "정답|답변|답안|답|答案|答复|回答|答え|解答|正解|答|الإجابة|الجواب|إجابة|উত্তর|उत्तर"
# Those that mean "the answer is" without another word.
SAYING, OTHERS_SAYING = "jawabannya|jawapannya", "故选|故選|应选|應選"

# What may stand between such a word and the letter, beside punctuation.
FILLERS = (
    "is|are|ist|lautet|es|est|adalah|ialah|ni|je|naa|e|would be|should be|must be|the|die|der|la|option|choice|letter|"
    "buchstabe|opcion|opcao|opzione|lettre|lettera|letra|a letra|a alternativa|a opcao|pilihan|opsi|huruf|chaguo|"
    "herufi|lililo|sahihi|langu|to to|ti o to|yang benar|yang tepat|yang paling tepat|akhir|final|finale|correct|"
    "correcta|correcte|correta|corretta|richtige|l['’]option"
)
NATIVE_FILLERS = (
    "은|는|이|가|선택지|应该是|应该为|应为|应是|應該是|應該為|應為|應是|是|为|為|选项|選項|选择|選擇|选|择|擇|は|"
    "هي|هو|النهائية|الصحيحة|النهائي"
)
MOST_FILLERS = 6
# What begins a reason, in which other letters are no answers. Marks are gone by then (perche).
BECAUSE = (
    "because|since|as|weil|denn|da|porque|ya que|pois|perche|poiche|parce que|car|karena|sebab|kwa sababu|kwani|nitori"
)
NATIVE_BECAUSE = "왜냐하면|因为|因為|なぜなら|لأن|কারণ|क्योंकि"

# Labels of lists in other scripts; simple-evals knows the Arabic and Bengali ones.
LABELS = dict(zip("가나다라ابجدঅবডঢ", "ABCD" * 3, strict=True))
CIRCLED = str.maketrans({"①": " (A) ", "②": " (B) ", "③": " (C) ", "④": " (D) "})

OPEN, CLOSE, SHUT = r"[\s(\[{<\"'‘“「]", r"[)\]}>.:\"'’”」。]", r"[)\]}>\"'’”」]"
KOREAN_NOT = r"번?(?:가|이|는|은)?\s*아(?:니|닙|닌|님)"
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
    rf"(?<![A-Za-z])(?:(?P<says>{SAYING})|{LATIN}|{_plain(YORUBA)})(?![A-Za-z])|(?P<others_say>{OTHERS_SAYING})|{_plain(OTHERS)}",
    re.IGNORECASE,
)
FILLER = re.compile(
    rf"\s*(?:[:=,>ঃ-]|(?:{FILLERS})(?![A-Za-z])|{_plain(NATIVE_FILLERS)}"
    rf"|{OPEN}*[A-D]{SHUT}*\s*{KOREAN_NOT}(?:라|고))",  # not A, but …
    re.IGNORECASE,
)
LETTER = re.compile(rf"{OPEN}*(?P<letter>{LATIN_LETTER}|[{''.join(LABELS)}])", re.IGNORECASE)
NOTHING = re.compile(rf"{OPEN}*")
ARTICLE = re.compile(r"a\s+(?:letra|alternativa|opcao|resposta)\b", re.IGNORECASE)
SECOND = re.compile(rf"(?P<closed>{CLOSE}*)(?P<joined>(?:\s*{AND})+|\s++){OPEN}*(?P<letter>{LATIN_LETTER})")
ANOTHER = re.compile(rf"(?<![A-Za-z0-9])(?<![A-Za-z]['’-])(?P<letter>{LATIN_LETTER})")
ENDED = re.compile(rf"\s*(?:{CLOSE}|,|$)", re.MULTILINE)
NATIVE_ENDED = re.compile(r"\s*(?:[)\].,:]|$)|입니다|이다|번", re.MULTILINE)
BARE_ENDED = re.compile(rf"{SHUT}*[ \t]*(?:\.(?!\w)|。|$)|입니다|이다|번(?!\w)", re.MULTILINE)
REFUSED = re.compile(rf"(?:{SHUT}*(?:\s*(?:{AND}|이?나))+{OPEN}*[A-D])*{SHUT}*\s*{KOREAN_NOT}")
# The option's text after its letter, in brackets or after a dash; a second letter there is none of it.
BRACKETED = re.compile(rf"\s*[(\[](?!\s*(?:{LATIN_LETTER}\s*[)\]]|{AND}\s))[^()\[\]]*(?:[)\]]|$)")
DASHED = re.compile(rf"(?:\s*[–—]|\s+-)(?!\s*(?:{LATIN_LETTER}|{AND}\s))")
REASON = re.compile(rf"[.!]\s|。|\b(?:{BECAUSE})\b|{_plain(NATIVE_BECAUSE)}", re.IGNORECASE)
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
        claim, start = _claim(announced, text), announced.end()
        if claim:
            letter = claim["letter"].upper()
            letter = LABELS.get(letter, letter)
            rest = _rest_of_line(text, claim.end())
            yield _Claim(None if _names_another(letter, rest) else letter, text.count("\n", 0, claim.end()))
        elif FILLER.match(text, start) and _has_several(_rest_of_line(text, start)):
            yield _Claim(None, text.count("\n", 0, start))


def _claim(announced: re.Match[str], text: str) -> re.Match[str] | None:
    """The letter that is claimed after a word for "answer", with as few words before it as will do."""
    place = announced.end()
    for _ in range(MOST_FILLERS + 1):
        letter = LETTER.match(text, place)
        if letter and _is_meant(letter, announced, text):
            return letter
        filler = FILLER.match(text, place)
        if not filler:
            return None
        place = filler.end()
    return None


def _is_meant(found: re.Match[str], announced: re.Match[str], text: str) -> bool:
    """A letter, and not the first word of a sentence: ``Answer: a matter of taste``, ``정답: 다 맞다``.

    Where no word and no colon stands before it, as in ``Answer A: wrong``, it must be the last word of a sentence.
    """
    letter, end = found["letter"], found.end()
    filled = text[announced.end() : found.start("letter")]
    says = announced.lastgroup is not None
    if REFUSED.match(text, end) or ARTICLE.match(text, found.start("letter")) or (letter in LABELS and not filled):
        return False
    if not says and "\n" not in filled and NOTHING.fullmatch(filled):
        return (letter not in "abcd" or bool(filled.strip())) and bool(BARE_ENDED.match(text, end))
    if letter in LABELS:
        return bool(NATIVE_ENDED.match(text, end))
    ended = bool(ENDED.match(text, end))
    if letter.islower():
        return ended and bool(re.search(r"[:=(\[]", filled))
    return ended or ("\n" not in filled and (says or bool(filled.strip())))


def _names_another(letter: str, rest: str) -> bool:
    """Whether the rest of the line joins or opposes a second letter: ``B or C``, ``B, not C``.

    ``B) Vitamin C``, ``B (Vitamin C)`` and ``B - Vitamin C`` repeat the option, ``B. A cat`` goes on with an article,
    and ``B because D is wrong`` gives a reason.
    """
    rest = BRACKETED.sub("", rest, count=1) if BRACKETED.match(rest) else rest
    second = SECOND.match(rest)
    if second and second["letter"] != letter and second["joined"].strip():
        return True
    if re.match(CLOSE, rest) or DASHED.match(rest):
        return False
    return any(found["letter"] != letter for found in _letters(REASON.split(rest, maxsplit=1)[0]))


def _has_several(rest: str) -> bool:
    """``Both B and C``, but not ``A나 C가 아닌``."""
    return len({found["letter"] for found in _letters(rest)}) > 1 and not re.search(KOREAN_NOT, rest)


def _letters(rest: str) -> list[re.Match[str]]:
    """Capital letters that stand alone, but no English article."""
    found = ANOTHER.finditer(rest)
    return [one for one in found if not (one["letter"] == "A" and re.match(r" [a-z]", rest[one.end() :]))]


def _rest_of_line(text: str, start: int) -> str:
    """Up to the next line, or to the next claim, which speaks for itself."""
    line = text[start:].split("\n", 1)[0]
    following = ANNOUNCED.search(line)
    return line[: following.start()] if following else line
