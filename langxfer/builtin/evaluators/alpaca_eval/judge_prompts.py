"""What the judge reads.

The ranking is the prompt of appendix C of CLO (arXiv 2505.14297), which is ``alpaca_eval_gpt4_turbo_fn`` of AlpacaEval
(github.com/tatsu-lab/alpaca_eval, Apache-2.0) with one sentence more; asking for a label alone follows AlpacaEval's
``alpaca_eval_clf_gpt4_turbo``. What differs: texts stand there as JSON strings, and a judge without functions is told
which JSON to answer with. A prompt that was used once is never changed; ``VERSION`` counts.
"""

from __future__ import annotations

import json
import re
from typing import Literal

VERSION = 1
LABELS = ("m", "M")

Wording = Literal["original", "language-aware"]

_SYSTEM = {
    "ranking": (
        "You are a highly efficient assistant, who evaluates and rank large language models (LLMs) based on the "
        "quality of their responses to given prompts. This process will create a leaderboard reflecting the most "
        "accurate and human-preferred answers."
    ),
    "label": (
        "You are a highly efficient assistant, who evaluates and selects the best large language model (LLMs) based "
        "on the quality of their responses to a given instruction. This process will be used to create a leaderboard "
        "reflecting the most accurate and human-preferred answers."
    ),
}
_TASK = {
    "ranking": (
        "I require a leaderboard for various large language models. I'll provide you with prompts given to these "
        "models and their corresponding responses. Your task is to assess these responses, ranking the models in "
        "order of preference from a human perspective. Once ranked, please output the results in a structured JSON "
        "format for the make_partial_leaderboard function."
    ),
    "label": (
        "I require a leaderboard for various large language models. I'll provide you with prompts given to these "
        "models and their corresponding outputs. Your task is to assess these responses, and select the model that "
        "produces the best output from a human perspective."
    ),
}
_QUALITY = {
    "ranking": (
        "Evaluate and rank the models based on the quality and relevance of their outputs. The ranking should be such "
        "that the model with the highest quality output is ranked first."
    ),
    "label": (
        "Evaluate the models based on the quality and relevance of their outputs, and select the model that generated "
        "the best output."
    ),
}
_LANGUAGE = (
    " Additionally, since the purpose is to measure multilinguality, if a model responds in a language different from "
    "the instruction's language, this should be reflected in the evaluation."
)
_ANSWER = {
    "ranking": (
        "\n\nThe arguments of make_partial_leaderboard are one JSON object, and your answer is nothing else: "
        '{"ordered_models": [{"model": IDENTIFIER, "rank": 1}, {"model": IDENTIFIER, "rank": 2}]}, best model first.'
    ),
    "label": (
        " Answer by providing the model identifier of the best model. We will use your output as the name of the best "
        "model, so make sure your output only contains one of the following model identifiers and nothing else (no "
        "quotes, no spaces, no new lines, ...): m or M.\n\n## Best Model Identifier"
    ),
}
# What chat templates and tokenizers take for the end of a turn, in several families of models.
_CONTROL = re.compile(
    r"<(?=[|｜]|/?s>|(?:bos|eos|pad|unk)>|/?(?:start|end)_of_turn>)|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS)\])"
)


def messages(
    wording: Wording, form: Literal["ranking", "label"], instruction: str, first: str, second: str
) -> tuple[tuple[str, str], ...]:
    """The turns (role, text) that ask which of two answers is better.

    Args:
        wording: ``language-aware`` has the sentence on the answer's language.
        form: what the judge answers with.
    """
    models = ",\n".join(
        f'  {{\n    "model": "{label}",\n    "output": {quoted(text)}\n  }}'
        for label, text in zip(LABELS, (first, second), strict=True)
    )
    parts = [
        _TASK[form],
        f'## Prompt\n\n{{\n  "instruction": {quoted(instruction)}\n}}',
        "## Model Outputs\n\nHere are the unordered outputs from the models. Each output is associated with a specific "
        f"model, identified by a unique model identifier.\n\n[\n{models}\n]",
        f"## Task\n\n{_QUALITY[form]}{_LANGUAGE if wording == 'language-aware' else ''}{_ANSWER[form]}",
    ]
    return ("system", _SYSTEM[form]), ("user", "\n\n".join(parts))


def quoted(text: str) -> str:
    """The text as a JSON string that no reader of JSON, and no tokenizer's control token, sees an end in."""
    sendable = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be sent
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(sendable, ensure_ascii=False))
