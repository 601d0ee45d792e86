"""Checkpoints in CTranslate2's format: converted once, and kept with their tokenizer files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langxfer.errors import ArtifactError
from langxfer.hub import first_line
from langxfer.translation.checkpoint import Checkpoint, tokenizer_files

MODEL, TOKENIZER = "model", "tokenizer"  # folders of a conversion


def place(checkpoint: Checkpoint, cache: Path, quantization: str | None = None) -> Path:
    """Where a conversion is kept, whether it is there already or not.

    Raises:
        RecipeError: there is no such checkpoint.
        ArtifactError: the hub did not answer.
    """
    what = {**checkpoint.identity(), "ctranslate2": version("ctranslate2"), "quantization": quantization}
    return cache / "ctranslate2" / hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def tokenizer_folder(checkpoint: Checkpoint, cache: Path, quantization: str | None = None) -> Path:
    """Configuration and tokenizer files, without the weights where those are not there yet.

    Raises:
        RecipeError: there is no such checkpoint.
        ArtifactError: the hub did not answer.
    """
    converted = place(checkpoint, cache, quantization) / TOKENIZER
    return converted if converted.is_dir() else checkpoint.folder(weights=False)


def convert(checkpoint: Checkpoint, cache: Path, quantization: str | None = None) -> Path:
    """The checkpoint in CTranslate2's format, with its tokenizer files; converted once and kept.

    Returns:
        ``CACHE/ctranslate2/DIGEST``, with the folders ``model`` and ``tokenizer``.

    Raises:
        RecipeError: there is no such checkpoint.
        ArtifactError: it cannot be converted, or the cache cannot be written.
    """
    target = place(checkpoint, cache, quantization)
    if target.is_dir():
        return target
    source = checkpoint.folder()
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f".{target.name}.lock")):
            if not target.is_dir():  # else another process was faster
                _write(source, partial, quantization)
                os.replace(partial, target)
    except OSError as error:
        raise ArtifactError(
            f"{cache}: cannot keep the converted model there ({error.strerror or first_line(error)}). "
            "Free some space, or choose another cache folder with LANGXFER_CACHE."
        ) from None
    return target


def _write(source: Path, partial: Path, quantization: str | None) -> None:
    """Fill ``partial`` with a conversion, or leave nothing. What a killed process left there is dropped."""
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / TOKENIZER).mkdir(parents=True)
        for file in tokenizer_files(source):
            shutil.copyfile(file, partial / TOKENIZER / file.name)
        run_converter(source, partial / MODEL, quantization, f"translator.model {source}")
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_converter(source: Path, target: Path, quantization: str | None, name: str) -> None:
    """Convert a checkpoint in transformers format; ``name`` is what messages call it.

    Raises:
        ArtifactError: it cannot be converted.
    """
    from ctranslate2.converters import TransformersConverter
    from transformers.utils import logging

    class Complete(TransformersConverter):
        """Transformers makes up weights that a checkpoint lacks; a translator made of those is worth nothing."""

        def load_model(self, model_class: Any, model_name_or_path: str, **options: Any) -> Any:
            model, report = model_class.from_pretrained(model_name_or_path, output_loading_info=True, **options)
            if report["missing_keys"]:
                raise ValueError(f"its weights lack {', '.join(sorted(report['missing_keys'])[:3])}")
            return model

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        Complete(str(source)).convert(str(target), quantization=quantization)
    except OSError as error:
        if error.errno is not None:  # of the disk; transformers raises its own without a number
            raise
        raise ArtifactError(f"{name}: cannot be converted ({first_line(error)}).") from error
    except Exception as error:  # whatever transformers and CTranslate2 make of files that are not theirs
        raise ArtifactError(f"{name}: cannot be converted ({first_line(error)}).") from error
    finally:
        if shown:
            logging.enable_progress_bar()
