"""Versions of Python and of the libraries that results may depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    *("langxfer", "torch", "transformers", "accelerate", "ctranslate2", "datasets", "numpy", "safetensors"),
    *("py3langid", "sacrebleu", "sentencepiece", "sentencex"),
    *("peft", "gguf", "lingua-language-detector", "fasttext-predict", "scikit-learn"),  # optional
)


def versions() -> dict[str, str]:
    """By name; ``not installed`` for a library that is not."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {**found, "python": platform.python_version()}
