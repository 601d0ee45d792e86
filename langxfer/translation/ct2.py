"""What neural translators share: translation with a model that CTranslate2 runs.

Source rows are ``[source token, pieces…, </s>]``, the target begins with ``[target token]``; M2M100
(arXiv 2010.11125) and NLLB (arXiv 2207.04672) differ only in what those tokens look like.
"""

from __future__ import annotations

import ctypes
import json
import os
import site
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from langxfer.components import Pair, Translation
from langxfer.errors import ArtifactError, RecipeError
from langxfer.hub import first_line
from langxfer.translation.checkpoint import Checkpoint
from langxfer.translation.conversion import MODEL, convert, tokenizer_folder
from langxfer.translation.tokens import Tokens

if TYPE_CHECKING:
    import ctranslate2

ComputeType = Literal[
    "auto", "float32", "float16", "bfloat16", "int16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"
]
# The first that the device has. On a CPU int8 is fastest, and loses next to nothing (CTranslate2's own tables). On
# CUDA float16 before bfloat16: they are equally fast, float16 has three bits more, so fewer hypotheses change places,
# and M2M100 and NLLB were trained in it, so that bfloat16's wider range gains nothing.
AUTO = {"cpu": ("int8_float32", "float32"), "cuda": ("float16", "bfloat16", "float32")}
LENGTH_STEP = 32  # source lengths are rounded up to this, so that segments of like length share a limit
LONGEST = 1000  # tokens of a translation, with its language token
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of all cores together, and of the clock
CUBLAS = ("libcublasLt.so.12", "libcublas.so.12")  # the second needs the first
EMPTY, NOT_UNICODE, TRUNCATED = "empty", "not Unicode", "truncated"  # problems of translations


@dataclass(frozen=True)
class Decoding:
    """How translations are searched.

    Attributes:
        beam_size: hypotheses kept at every step; 1 is greedy search.
        length_penalty: a hypothesis scores log-probability / length ** length_penalty.
        repetition_penalty: above 1, lowers the scores of tokens that were generated already.
        no_repeat_ngram_size: no n-gram of this size comes twice in a translation; 0 allows all.
        max_length_ratio: a translation has at most this many tokens a source token, and 16 more.
        max_batch_tokens: source tokens translated at a time, padding included.
    """

    beam_size: int = 5
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    max_length_ratio: float = 2.5
    max_batch_tokens: int = 2048

    def again(self) -> Decoding:
        """For segments whose translation ran in circles or was cut: against repetition, and with twice the length.

        What is stronger already stays as it is.
        """
        return replace(
            self,
            repetition_penalty=max(self.repetition_penalty, 1.1),
            no_repeat_ngram_size=min(self.no_repeat_ngram_size or 4, 4),
            max_length_ratio=2 * self.max_length_ratio,
        )

    def limit(self, source_tokens: int, positions: int) -> int:
        """Most tokens of a translation, with its language token."""
        rounded = -(-source_tokens // LENGTH_STEP) * LENGTH_STEP
        return min(int(self.max_length_ratio * rounded) + 16, LONGEST, positions)


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
        self._tokens: Tokens | None = None
        self._loaded: _Loaded | None = None

    def __enter__(self) -> Ct2Model:
        return self

    def __exit__(self, *_: object) -> None:
        self._tokens = None
        if self._loaded is not None:
            self._loaded.translator.unload_model()
            self._loaded = None

    @property
    def running(self) -> str | None:
        """How it runs (version, device, precision, threads), in words; None while no segment has needed the model."""
        return None if self._loaded is None else self._loaded.running

    def translate(self, segments: Sequence[str], pair: Pair) -> list[Translation]:
        """Translations in the same order and of the same number.

        Segments without a letter or digit come back unchanged, and white space around a segment stays. The problem
        of a translation is ``truncated`` where the search came to its limit without an end (the text is what there
        is of it) or the source has more tokens than the model has positions (no text), ``empty``, or ``not
        Unicode`` for a source with lone surrogates. The score is the mean log-probability of a token, the end
        token included and the given language token not, after the penalties of the search.

        Raises:
            RecipeError: the model does not have a language; said before its weights are fetched or loaded.
            ArtifactError: the model cannot be converted or loaded.
        """
        return self._translated(segments, pair, self._decoding)

    def translate_again(self, segments: Sequence[str], pair: Pair) -> list[Translation]:
        """As ``translate``, with ``Decoding.again``: for segments whose translation was cut or ran in circles."""
        return self._translated(segments, pair, self._decoding.again())

    def _translated(self, segments: Sequence[str], pair: Pair, decoding: Decoding) -> list[Translation]:
        source, target = self._token(pair.source), self._token(pair.target)
        results = [Translation(segment) for segment in segments]
        worded = [number for number, segment in enumerate(segments) if any(map(str.isalnum, segment))]
        if not worded:
            return results
        if self._tokens is None:
            self._tokens = Tokens(tokenizer_folder(self._checkpoint, self._cache, self._compute_type))
        indices = {
            token: self._tokens.index(token, tag) for token, tag in ((source, pair.source), (target, pair.target))
        }
        rows = self._tokens.rows([segments[number].strip() for number in worded], source)
        for number, found in zip(worded, self._search(rows, target, indices, decoding), strict=True):
            segment = segments[number]
            start, end = len(segment) - len(segment.lstrip()), len(segment.rstrip())
            text = None if found.text is None else segment[:start] + found.text + segment[end:]
            results[number] = replace(found, text=text)
        return results

    def _search(
        self, rows: list[list[str] | None], target: str, indices: dict[str, int], decoding: Decoding
    ) -> list[Translation]:
        """Translate all rows at once: the batches wait in CTranslate2's queue, so no thread waits for Python."""
        assert self._tokens is not None
        results = [Translation(None, None, NOT_UNICODE if row is None else TRUNCATED) for row in rows]
        limits: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            if row is not None and len(row) <= self._tokens.positions:
                limits.setdefault(decoding.limit(len(row), self._tokens.positions), []).append(number)
        if not limits:
            return results
        model = self._model()
        for token, index in indices.items():
            model.check(token, index)
        hypotheses = model.hypotheses(rows, limits, target, decoding)
        texts = self._tokens.texts([tokens for tokens, _ in hypotheses.values()])
        for (number, (tokens, score)), text in zip(hypotheses.items(), texts, strict=True):
            problem = None if self._tokens.ended(tokens) else TRUNCATED
            results[number] = Translation(text or None, score, problem or (None if text else EMPTY))
        return results

    def _model(self) -> _Loaded:
        if self._loaded is None:
            folder = convert(self._checkpoint, self._cache, self._compute_type)
            self._loaded = _load(folder, self._device, self._compute_type)
        return self._loaded


@dataclass(frozen=True)
class _Loaded:
    """A model in memory.

    Attributes:
        vocabulary: tokens of the converted model.
        at_a_time: batches that are translated at a time.
        running: what ``Ct2Model.running`` says.
    """

    translator: ctranslate2.Translator
    vocabulary: list[str]
    folder: Path
    at_a_time: int
    running: str

    def check(self, token: str, index: int) -> None:
        """The converted model must mean the same by a token as its tokenizer."""
        found = self.vocabulary[index] if index < len(self.vocabulary) else "nothing"
        if found != token:
            raise ArtifactError(
                f"{self.folder}: the converted model has {found} where its tokenizer has {token} (index {index}). "
                "Its tokenizer files do not belong to its weights: take them from one checkpoint."
            )

    def hypotheses(
        self, rows: Sequence[Any], limits: dict[int, list[int]], target: str, decoding: Decoding
    ) -> dict[int, tuple[list[str], float]]:
        """The best hypothesis of each row that has a limit, with the mean log-probability of its tokens in nats."""
        most = decoding.max_batch_tokens
        pending = {}
        for limit, numbers in sorted(limits.items(), reverse=True):
            for batch in batches({number: len(rows[number]) for number in numbers}, most, self.at_a_time):
                results = self.translator.translate_batch(
                    [rows[number] for number in batch],
                    [[target]] * len(batch),
                    asynchronous=True,
                    beam_size=decoding.beam_size,
                    length_penalty=decoding.length_penalty,
                    repetition_penalty=decoding.repetition_penalty,
                    no_repeat_ngram_size=decoding.no_repeat_ngram_size,
                    max_input_length=0,  # the default cuts long sources without a word
                    min_decoding_length=2,  # the language token and one more: an empty translation is none
                    max_decoding_length=limit,
                    return_end_token=True,  # tells a translation that ended from one that was cut
                    return_scores=True,
                )
                pending.update(zip(batch, results, strict=True))
        found = {}
        for number, result in pending.items():
            done = result.result()
            tokens = done.hypotheses[0]
            found[number] = tokens, mean_score(done.scores[0], len(tokens), decoding.length_penalty)
        return found


def batches(lengths: Mapping[int, int], most: int, at_a_time: int) -> Iterator[list[int]]:
    """Rows in batches of at most ``most`` tokens, padding included, longest first.

    Threads get equal work, also where there is not enough for a full batch each: what ``at_a_time`` batches can
    hold is dealt out row by row. CTranslate2 would fill one batch after the other, and let the last thread wait.
    """
    ordered = sorted(lengths, key=lengths.__getitem__, reverse=True)
    start = 0
    while start < len(ordered):
        rows_of_a_batch = max(1, most // lengths[ordered[start]])
        some = ordered[start : start + at_a_time * rows_of_a_batch]
        start += len(some)
        yield from filter(None, (some[part::at_a_time] for part in range(at_a_time)))


def mean_score(score: float, length: int, length_penalty: float) -> float:
    """Mean log-probability of a generated token in nats, from CTranslate2's score of a hypothesis.

    CTranslate2 gives the sum over generated tokens (the end token included) / length ** length_penalty. Its length
    counts the language token too, which is given and adds nothing to the sum; transformers does the same.
    """
    return score * length**length_penalty / (length - 1)


def check_compute_type(compute_type: ComputeType, device: str) -> str:
    """The compute type for a device, ``auto`` resolved.

    Raises:
        RecipeError: CTranslate2 cannot use the device, or not with this type.
    """
    import ctranslate2

    if device == "cuda" and not ctranslate2.get_cuda_device_count():
        raise RecipeError("compute.device cuda: CTranslate2 finds no CUDA device. Set compute.device to cpu.")
    if device == "cuda" and not has_cublas():
        raise RecipeError(
            f"compute.device cuda: CTranslate2 needs {CUBLAS[-1]}, and it is not here: torch may have brought another "
            "version.  pip install nvidia-cublas-cu12"
        )
    supported = ctranslate2.get_supported_compute_types(device)
    if compute_type == "auto":
        return next(wanted for wanted in AUTO[device] if wanted in supported)  # every device has float32
    if compute_type not in supported:
        offered = ", ".join(["auto", *sorted(supported)])
        raise RecipeError(
            f"translator.compute_type {compute_type} is not to be had on this {device}. It has: {offered}."
        )
    return compute_type


@cache
def has_cublas() -> bool:
    """Whether CTranslate2 will find cuBLAS, which it looks for with its first batch; loads what pip installed."""
    packages = [*map(Path, site.getsitepackages()), Path(site.getusersitepackages())]
    folders = [Path(), *(path / "nvidia/cublas/lib" for path in packages)]
    for folder in folders:  # a plain name is looked for where the system looks
        try:
            for name in CUBLAS:
                ctypes.CDLL(str(folder / name), mode=ctypes.RTLD_GLOBAL)
            return True
        except OSError:
            continue
    return False


def threads(device: str) -> tuple[int, int]:
    """Batches at a time, and threads a batch: together at most the cores that are free for this process."""
    if device != "cpu":
        return 1, 1
    cores = free_cores()
    at_a_time = min(cores, 4)  # more batches at a time beat more threads a batch, but each needs memory
    return at_a_time, cores // at_a_time


def free_cores() -> int:
    """Cores for this process: those it may run on, a container's share of them, or what the user wants if less.

    The user's wish is OMP_NUM_THREADS, or what PyTorch was told (``compute.threads`` of a recipe).
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [allowed, _quota()]
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        limits.append(int(asked))
    if (torch := sys.modules.get("torch")) is not None:
        limits.append(torch.get_num_threads())
    return min(limit for limit in limits if limit is not None)


def _quota() -> int | None:
    """Cores that a container may use up in all, at least 1; None where nothing says so."""
    try:
        share, period = QUOTA.read_text().split()
        return max(1, int(share) // int(period))
    except (OSError, ValueError):  # no control groups, or "max"
        return None


def _load(folder: Path, device: str, compute_type: str) -> _Loaded:
    import ctranslate2

    at_a_time, each = threads(device)
    try:
        names = ("shared_vocabulary.json", "target_vocabulary.json")
        vocabulary = next(folder / MODEL / name for name in names if (folder / MODEL / name).is_file())
        tokens = json.loads(vocabulary.read_text(encoding="utf-8"))
        translator = ctranslate2.Translator(
            str(folder / MODEL), device, compute_type=compute_type, inter_threads=at_a_time, intra_threads=each
        )
    except (OSError, ValueError, RuntimeError, StopIteration) as error:
        raise ArtifactError(
            f"{folder}: the converted model cannot be loaded ({first_line(error)}). Delete it to convert it again."
        ) from error
    running = f"CTranslate2 {ctranslate2.__version__} translates on {device} in {compute_type}"
    if device == "cpu":
        running += f", with {at_a_time} x {each} threads (batches at a time x threads of each)"
    return _Loaded(translator, tokens, folder, at_a_time, running)
