"""What neural translators share: conversion to CTranslate2, and translation with it.

Source rows are ``[source token, pieces…, </s>]``, the target begins with ``[target token]``; M2M100
(arXiv 2010.11125) and NLLB (arXiv 2207.04672) differ only in what those tokens look like.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langxfer.components import Pair
from langxfer.errors import ArtifactError, RecipeError
from langxfer.hub import first_line
from langxfer.translation.checkpoint import Checkpoint, tokenizer_files

if TYPE_CHECKING:
    import ctranslate2

ComputeType = Literal[
    "auto", "float32", "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"
]
AUTO = {"cpu": "int8_float32", "cuda": "float16"}  # the fastest that loses next to nothing (CTranslate2's own tables)
LENGTH_STEP = 32  # source lengths are rounded up to this, so that segments of like length share a limit
LONGEST = 1000  # tokens of a translation, with its language token
MODEL, TOKENIZER = "model", "tokenizer"  # folders of a conversion


@dataclass(frozen=True)
class Decoding:
    """How translations are searched.

    Attributes:
        beam_size: hypotheses kept at every step; 1 is greedy search.
        length_penalty: a hypothesis scores log-probability / length ** length_penalty.
        repetition_penalty: above 1, lowers the scores of tokens that were generated already.
        no_repeat_ngram_size: no n-gram of this size comes twice in a translation; 0 allows all.
        max_length_ratio: a translation has at most this many tokens a source token, and 16 more.
        max_batch_tokens: tokens translated at a time, padding included.
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    max_length_ratio: float = 2.5
    max_batch_tokens: int = 2048


class Ct2Model:
    """An open translator over a model that CTranslate2 runs; a context manager.

    Nothing is fetched, converted or loaded before the first segment that needs the model: a run whose
    segments are all in the cache never pays for it.

    Args:
        checkpoint: the model in Hugging Face format.
        token: the model's token of a BCP-47 tag; raises RecipeError where there is none.
        compute_type: ``auto`` or one of CTranslate2's.
        device: ``cpu`` or ``cuda``.
        cache: folder in which conversions are kept.

    Raises:
        RecipeError: the device or the compute type cannot be had.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        token: Callable[[str], str],
        compute_type: ComputeType,
        decoding: Decoding,
        device: str,
        cache: Path,
    ):
        self._checkpoint, self._token, self._decoding, self._cache = checkpoint, token, decoding, cache
        self._device = device
        self._compute_type = check_compute_type(compute_type, device)
        self._loaded: _Loaded | None = None

    def __enter__(self) -> Ct2Model:
        return self

    def __exit__(self, *_: object) -> None:
        if self._loaded is not None:
            self._loaded.translator.unload_model()
            self._loaded = None

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str | None]:
        """Translations in the same order and of the same number.

        Segments without a letter or digit come back unchanged, and white space around a segment stays.
        None where the model gives no translation that can be trusted: the source has more tokens than
        the model has positions, or the translation came to its length limit without an end.

        Raises:
            RecipeError: the model does not have a language; said before anything is loaded.
            ArtifactError: the model cannot be converted or loaded.
        """
        source, target = self._token(pair.source), self._token(pair.target)
        results: list[str | None] = list(segments)
        worded = [number for number, segment in enumerate(segments) if any(map(str.isalnum, segment))]
        if not worded:
            return results
        model = self._model()
        for token, tag in ((source, pair.source), (target, pair.target)):
            model.check(token, tag)
        rows = {number: model.encode(segments[number].strip(), source) for number in worded}
        for number, translation in self._search(model, rows, target).items():
            segment = segments[number]
            start, end = len(segment) - len(segment.lstrip()), len(segment.rstrip())
            results[number] = None if translation is None else segment[:start] + translation + segment[end:]
        return results

    def _model(self) -> _Loaded:
        if self._loaded is None:
            folder = convert(self._checkpoint, self._cache, self._compute_type)
            self._loaded = _load(folder, self._device, self._compute_type)
        return self._loaded

    def _search(self, model: _Loaded, rows: dict[int, list[str] | None], target: str) -> dict[int, str | None]:
        """Translate all rows at once: CTranslate2 sorts them by length and fills its batches by itself."""
        longest = min(LONGEST, model.positions)
        decoding = self._decoding
        limits: dict[int, list[int]] = {}
        for number, row in rows.items():
            if row is not None and len(row) <= model.positions:
                length = -(-len(row) // LENGTH_STEP) * LENGTH_STEP
                limits.setdefault(min(int(decoding.max_length_ratio * length) + 16, longest), []).append(number)
        pending = {}
        for limit, numbers in sorted(limits.items(), reverse=True):
            results = model.translator.translate_batch(
                [rows[number] for number in numbers],
                [[target]] * len(numbers),
                max_batch_size=decoding.max_batch_tokens,
                batch_type="tokens",
                asynchronous=True,
                beam_size=decoding.beam_size,
                length_penalty=decoding.length_penalty,
                repetition_penalty=decoding.repetition_penalty,
                no_repeat_ngram_size=decoding.no_repeat_ngram_size,
                max_input_length=0,  # the default cuts long sources without a word
                min_decoding_length=2,  # the language token and one more: an empty translation is none
                max_decoding_length=limit,
                return_end_token=True,  # tells a translation that ended from one that was cut
            )
            pending.update(zip(numbers, results, strict=True))
        translations = {number: model.decode(result.result().hypotheses[0]) for number, result in pending.items()}
        return {number: translations.get(number) for number in rows}


@dataclass
class _Loaded:
    """A model in memory, with its tokenizer."""

    translator: ctranslate2.Translator
    tokenizer: Any
    indices: dict[str, int]  # of tokens, as the tokenizer has them
    vocabulary: list[str]  # as the converted model has it
    positions: int
    unwritten: frozenset[str]  # tokens that stand for no text
    folder: Path

    def check(self, token: str, tag: str) -> None:
        """An unknown token would be translated into anything, without an error from CTranslate2."""
        index = self.indices.get(token)
        if index is None or index == self.tokenizer.unk_token_id:
            raise RecipeError(
                f'translator.model: its tokenizer has no token {token} for "{tag}". Take a model that speaks {tag}, '
                "or save the model's tokenizer again with its language tokens as special tokens."
            )
        if index >= len(self.vocabulary) or self.vocabulary[index] != token:
            found = self.vocabulary[index] if index < len(self.vocabulary) else "nothing"
            raise ArtifactError(
                f"{self.folder}: the converted model has {found} where its tokenizer has {token} (index {index}). "
                "Its tokenizer files do not belong to its weights: take them from one checkpoint."
            )

    def encode(self, text: str, source: str) -> list[str] | None:
        """Tokens of a source row; None for text that is no Unicode (lone surrogates)."""
        try:
            text.encode()
        except UnicodeEncodeError:
            return None
        # A user's "</s>" or "__de__" is text, and must not become the token of that name.
        pieces = self.tokenizer.tokenize(text, split_special_tokens=True)
        return [source, *pieces, self.tokenizer.eos_token]

    def decode(self, hypothesis: list[str]) -> str | None:
        """Text of a hypothesis. Its language token is taken off by position: a tokenizer may not know it as special."""
        if hypothesis[-1] != self.tokenizer.eos_token:
            return None
        pieces = [token for token in hypothesis[1:-1] if token not in self.unwritten]
        return self.tokenizer.convert_tokens_to_string(pieces).strip() or None


def check_compute_type(compute_type: ComputeType, device: str) -> str:
    """The compute type for a device, ``auto`` resolved.

    Raises:
        RecipeError: CTranslate2 cannot use the device, or not with this type.
    """
    import ctranslate2

    if device == "cuda" and not ctranslate2.get_cuda_device_count():
        raise RecipeError("compute.device cuda: CTranslate2 finds no CUDA device. Set compute.device to cpu.")
    supported = ctranslate2.get_supported_compute_types(device)
    wanted = AUTO[device] if compute_type == "auto" else compute_type
    if compute_type == "auto" and wanted not in supported:
        return "float32"  # every device has it
    if wanted not in supported:
        offered = ", ".join(["auto", *sorted(supported)])
        raise RecipeError(f"translator.compute_type {wanted} is not to be had on this {device}. It has: {offered}.")
    return wanted


def threads(device: str) -> tuple[int, int]:
    """Batches at a time, and threads a batch: together the cores this process may use, or OMP_NUM_THREADS if less."""
    if device != "cpu":
        return 1, 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cores = min(allowed, int(asked)) if asked.isdigit() and int(asked) else allowed
    at_a_time = min(cores, 4)  # more batches at a time beat more threads a batch, but each needs memory
    return at_a_time, cores // at_a_time


def convert(checkpoint: Checkpoint, cache: Path, quantization: str | None = None) -> Path:
    """The checkpoint in CTranslate2's format, with its tokenizer files; converted once and kept.

    Returns:
        ``CACHE/ctranslate2/DIGEST``, with the folders ``model`` and ``tokenizer``.

    Raises:
        RecipeError: there is no such checkpoint.
        ArtifactError: it cannot be converted, or the cache cannot be written.
    """
    import ctranslate2

    what = {**checkpoint.identity(), "ctranslate2": ctranslate2.__version__, "quantization": quantization}
    target = cache / "ctranslate2" / hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
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
        _run_converter(source, partial / MODEL, quantization)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_converter(source: Path, target: Path, quantization: str | None) -> None:
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
        raise ArtifactError(f"translator.model {source}: cannot be converted ({first_line(error)}).") from error
    except Exception as error:  # whatever transformers and CTranslate2 make of files that are not theirs
        raise ArtifactError(f"translator.model {source}: cannot be converted ({first_line(error)}).") from error
    finally:
        if shown:
            logging.enable_progress_bar()


def _load(folder: Path, device: str, compute_type: str) -> _Loaded:
    import ctranslate2
    from transformers import AutoTokenizer

    at_a_time, each = threads(device)
    try:
        config = json.loads((folder / TOKENIZER / "config.json").read_text(encoding="utf-8"))
        names = ("shared_vocabulary.json", "target_vocabulary.json")
        vocabulary = next(folder / MODEL / name for name in names if (folder / MODEL / name).is_file())
        tokenizer = AutoTokenizer.from_pretrained(folder / TOKENIZER)
        translator = ctranslate2.Translator(
            str(folder / MODEL), device, compute_type=compute_type, inter_threads=at_a_time, intra_threads=each
        )
        indices, tokens = tokenizer.get_vocab(), json.loads(vocabulary.read_text(encoding="utf-8"))
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        return _Loaded(
            translator=translator,
            tokenizer=tokenizer,
            indices=indices,
            vocabulary=tokens,
            positions=config["max_position_embeddings"],
            unwritten=frozenset(special | {*tokenizer.all_special_tokens} | (set(tokens) - indices.keys())),
            folder=folder,
        )
    except (OSError, ValueError, RuntimeError, KeyError, StopIteration) as error:
        raise ArtifactError(
            f"{folder}: the converted model cannot be loaded ({first_line(error)}). Delete it to convert it again."
        ) from error
