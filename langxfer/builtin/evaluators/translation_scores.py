"""chrF++ and BLEU by sacreBLEU, with standard errors and without downloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from langxfer.errors import RecipeError
from langxfer.languages import LANGUAGES

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

# sacreBLEU's tokenizers that need no download; the last two need a package.
Tokenizer = Literal["13a", "intl", "zh", "char", "none", "ja-mecab", "ko-mecab"]

# Scripts without spaces between words. Korean has spaces, but its words carry their particles: sacreBLEU advises
# MeCab, which is one more package, and characters stand in for it.
_BY_SCRIPT: dict[str, Tokenizer] = {
    **dict.fromkeys(("Hans", "Hant"), "zh"),
    **dict.fromkeys(("Jpan", "Hang", "Thai", "Laoo", "Khmr", "Mymr"), "char"),
}
SEED = 0  # of the resamples


def chrf() -> Metric:
    """chrF++: characters to order 6 and words to order 2 (Popović 2017)."""
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=2)


def bleu(target: str, tokenizer: Tokenizer | None) -> Metric:
    """BLEU for a target language; without a tokenizer, with the one that its script asks for.

    Raises:
        RecipeError: the tokenizer's package is not installed.
    """
    from sacrebleu.metrics import BLEU

    name = tokenizer or _BY_SCRIPT.get(LANGUAGES[target].script, "13a")
    try:
        return BLEU(tokenize=name)
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(f'translation_quality.bleu_tokenizers: "{name}" cannot be used ({reason}).') from None


def corpus_score(
    metric: Metric, translations: Sequence[str], references: Sequence[str], resamples: int
) -> tuple[float, float | None, str]:
    """A metric of all translations, its standard error by bootstrap over texts, and sacreBLEU's signature.

    The error is the standard deviation over resamples; None for a single text. sacreBLEU's own bootstrap gives an
    interval alone, and fails where a resample scores 0, so its statistics are resampled here.
    """
    import numpy as np

    score = metric.corpus_score(translations, [references])
    text = metric.get_signature().format()
    n = len(translations)
    if n == 1:
        return score.score, None, text
    statistics = np.array(metric._extract_corpus_statistics(translations, [references]))
    picks = np.random.default_rng(SEED).integers(0, n, (resamples, n))
    found = [metric._compute_score_from_stats(statistics[picked].sum(0).tolist()).score for picked in picks]
    return score.score, float(np.std(found, ddof=1)), text
