"""What transformers' beam search makes of a sentence: the oracle for models that CTranslate2 runs."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple


class Found(NamedTuple):
    """Token ids from the forced language token on, and transformers' score of them (beam search alone has one)."""

    ids: list[int]
    score: float | None

    def mean(self, length_penalty: float) -> float:
        """Mean log-probability of a token in nats, without the language token, which transformers counts as well."""
        assert self.score is not None
        return self.score * len(self.ids) ** length_penalty / (len(self.ids) - 1)


@lru_cache
def _network(folder: Path) -> Any:
    from transformers import AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def search(
    folder: Path, row: list[int], target: int, beam_size: int, limit: int, length_penalty: float = 1.0, **options: Any
) -> Found:
    """Search with the weights in ``folder``, one sentence at a time, and with no use of a tokenizer.

    Where the search may not end at its first step, CTranslate2 takes the end token out before it normalises that
    step's probabilities and transformers afterwards. Here it is before as well.

    Args:
        row: token ids of the source, its language token and the end token with it.
        target: id of the target's language token.
        limit: tokens of a translation at most, with its language token.
    """
    import torch
    from transformers import LogitsProcessor

    class Normalised(LogitsProcessor):
        def __call__(self, input_ids: Any, scores: Any) -> Any:
            return scores.log_softmax(-1) if input_ids.shape[1] == 2 else scores

    beams = {"early_stopping": True, "length_penalty": length_penalty} if beam_size > 1 else {}
    found = _network(folder).generate(
        input_ids=torch.tensor([row]),
        forced_bos_token_id=target,
        num_beams=beam_size,
        do_sample=False,
        min_length=3,  # start, language, and one more before the end
        max_length=limit + 1,
        logits_processor=[Normalised()],
        output_scores=True,
        return_dict_in_generate=True,
        **beams,
        **options,
    )
    score = found.sequences_scores[0].item() if beam_size > 1 else None
    return Found(found.sequences[0].tolist()[1:], score)


def watch(monkeypatch: Any) -> dict[tuple[str, ...], list[str]]:
    """From now on, the hypothesis that CTranslate2 gives for every source row: tokens to tokens."""
    import ctranslate2

    seen: dict[tuple[str, ...], list[str]] = {}

    class Watched(ctranslate2.Translator):
        def translate_batch(self, source: Any, *given: Any, **options: Any) -> Any:
            results = super().translate_batch(source, *given, **options)
            seen.update(
                {tuple(row): result.result().hypotheses[0] for row, result in zip(source, results, strict=True)}
            )
            return results

    monkeypatch.setattr(ctranslate2, "Translator", Watched)
    return seen


def indices(conversion: Path) -> dict[str, int]:
    """Ids of the converted model's tokens; a model has rows that its tokenizer has no token for."""
    vocabulary = json.loads((conversion / "model" / "shared_vocabulary.json").read_text())
    return {token: index for index, token in enumerate(vocabulary)}
