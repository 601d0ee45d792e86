"""One contender of the translation benchmark, in a process of its own, as ``worker.py`` for training.

Requests: ``run`` (the first ``documents`` of the data), ``stop``. After loading, and after each ``run``, there is one
answer: what was done, in seconds, tokens and segments.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from langxfer.builtin.m2m100 import M2M100
from langxfer.components import OpenTranslator, Pair, Translation
from langxfer.translation import Checkpoint, Pipeline, SegmentCache, convert, take_apart
from tests.benchmarks.job import Channel

PAIR = Pair("en", "de")
WARM_UP = "Water boils at one hundred degrees."


@dataclass(frozen=True)
class Job:
    """One contender's task.

    Attributes:
        kind: ``ours``, ``ctranslate2``, ``transformers`` or ``cached``, and a compute type after a dash.
        folder: with ``documents.json``; logs go there.
        model: folder in transformers' format.
        cache: folder with its conversions.
        threads: of the process.
        length: tokens of every translation, the language token with it.
        beam_size: hypotheses.
        max_batch_tokens: source tokens of a batch of CTranslate2's.
        batch_rows: sizes of transformers' batches that are tried; the fastest is taken.
    """

    worker: ClassVar[str] = "tests.benchmarks.translation_worker"
    kind: str
    folder: str
    model: str
    cache: str
    threads: int
    length: int
    beam_size: int
    max_batch_tokens: int
    batch_rows: Sequence[int]

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @property
    def compute_type(self) -> str:
        return self.kind.partition("-")[2]

    def documents(self, count: int) -> list[str]:
        return json.loads((Path(self.folder) / "documents.json").read_text(encoding="utf-8"))[:count]

    def translator(self) -> M2M100:
        return M2M100(
            model=self.model, compute_type=self.compute_type, beam_size=self.beam_size,
            max_batch_tokens=self.max_batch_tokens, max_length_ratio=100.0,
        )  # fmt: skip


def segments_of(documents: Iterable[str]) -> list[str]:
    """What there is to translate in documents: the distinct segments that have a letter or a digit."""
    every = dict.fromkeys(segment for text in documents for segment in take_apart(text, PAIR.source).segments)
    return [segment for segment in every if any(map(str.isalnum, segment))]


class Ours:
    """The pipeline: documents taken apart, an empty cache, CTranslate2, and every translation judged.

    Random weights write nonsense, which every judge rejects. So the verdict is worked out, and not acted upon.
    """

    def __init__(self, job: Job):
        from langxfer.translation import attempts, ct2

        ct2.LONGEST = job.length
        judge, self._job, self._judged = attempts.fault, job, 0

        def believe(segment: str, translation: Translation, pair: Pair) -> None:
            judge(segment, replace(translation, problem=None), pair)
            self._judged += translation.problem == ct2.TRUNCATED  # so it has ``length`` tokens

        attempts.fault = believe
        self._open = job.translator().open("cpu", Path(job.cache))
        self._translator = self._open.__enter__()
        self._translator.translate([WARM_UP], PAIR)

    def facts(self) -> dict[str, Any]:
        return {"running": self._translator.running}

    def run(self, count: int) -> dict[str, float]:
        documents = self._job.documents(count)
        self._judged = 0
        with tempfile.TemporaryDirectory() as folder, SegmentCache(Path(folder) / "segments.sqlite") as cache:
            pipeline = Pipeline(self._translator, "sentence", cache, {"of": "the benchmark"})
            began = time.perf_counter()
            done = list(pipeline.documents(documents, PAIR))
            seconds = time.perf_counter() - began
        assert len(done) == len(documents) and all(document.text for document in done)
        return {"seconds": seconds, "segments": self._judged, "tokens": self._judged * self._job.length}


class CTranslate2:
    """One call of ``translate_batch`` with rows that are there already; nothing is decoded."""

    def __init__(self, job: Job):
        import ctranslate2
        from transformers import AutoTokenizer

        from langxfer.translation.ct2 import threads

        folder = convert(Checkpoint(job.model), Path(job.cache), job.compute_type)
        at_a_time, each = threads("cpu")
        self._job = job
        self._tokenizer = AutoTokenizer.from_pretrained(job.model, src_lang=PAIR.source)
        self._translator = ctranslate2.Translator(
            str(folder / "model"), "cpu", compute_type=job.compute_type, inter_threads=at_a_time, intra_threads=each
        )
        self._translate(self._rows([WARM_UP]))

    def facts(self) -> dict[str, Any]:
        return {"compute_type": self._translator.compute_type}

    def run(self, count: int) -> dict[str, float]:
        rows = self._rows(segments_of(self._job.documents(count)))
        began = time.perf_counter()
        hypotheses = self._translate(rows)
        seconds = time.perf_counter() - began
        assert {len(tokens) for tokens in hypotheses} == {self._job.length}
        return {"seconds": seconds, "segments": len(rows), "tokens": sum(map(len, hypotheses))}

    def _rows(self, segments: Sequence[str]) -> list[list[str]]:
        return [self._tokenizer.convert_ids_to_tokens(ids) for ids in self._tokenizer(list(segments)).input_ids]

    def _translate(self, rows: list[list[str]]) -> list[list[str]]:
        job = self._job
        results = self._translator.translate_batch(
            rows, [[f"__{PAIR.target}__"]] * len(rows), beam_size=job.beam_size, max_batch_size=job.max_batch_tokens,
            batch_type="tokens", max_input_length=0, min_decoding_length=2, max_decoding_length=job.length,
            return_scores=True, return_end_token=True,
        )  # fmt: skip
        return [result.hypotheses[0] for result in results]


class Transformers:
    """``generate``, rows of like length in a batch; float32. The size of a batch is the best of those tried."""

    def __init__(self, job: Job):
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        self._job = job
        self._tokenizer = AutoTokenizer.from_pretrained(job.model, src_lang=PAIR.source)
        self._network = AutoModelForSeq2SeqLM.from_pretrained(job.model).eval()
        some = segments_of(job.documents(20))[: max(job.batch_rows)]
        seconds = {size: self._generate(some, size, 5)[0] for size in (job.batch_rows[0], *job.batch_rows)}
        self._size = min(seconds, key=seconds.__getitem__)
        self._searched = {str(size): value for size, value in seconds.items()}

    def facts(self) -> dict[str, Any]:
        return {"batch_rows": self._size, "searched_seconds": self._searched}

    def run(self, count: int) -> dict[str, float]:
        segments = segments_of(self._job.documents(count))
        seconds, tokens = self._generate(segments, self._size, self._job.length)
        assert tokens == len(segments) * self._job.length
        return {"seconds": seconds, "segments": len(segments), "tokens": tokens}

    def _generate(self, segments: Sequence[str], size: int, length: int) -> tuple[float, int]:
        """Seconds, and tokens with the language token and without the start token."""
        ids = sorted(self._tokenizer(list(segments)).input_ids, key=len, reverse=True)
        tokens, began = 0, time.perf_counter()
        for start in range(0, len(ids), size):
            batch = self._tokenizer.pad({"input_ids": ids[start : start + size]}, return_tensors="pt")
            made = self._network.generate(
                **batch, forced_bos_token_id=self._tokenizer.get_lang_id(PAIR.target), num_beams=self._job.beam_size,
                do_sample=False, early_stopping=True, min_length=length + 1, max_length=length + 1,
            )  # fmt: skip
            tokens += made.shape[0] * (made.shape[1] - 1)
        return time.perf_counter() - began, tokens


class Cached:
    """The pipeline with a full cache, and a translator that must not be asked."""

    def __init__(self, job: Job):
        self._job = job

    def facts(self) -> dict[str, Any]:
        return {}

    def run(self, count: int) -> dict[str, float]:
        documents = self._job.documents(count)
        with tempfile.TemporaryDirectory() as folder, SegmentCache(Path(folder) / "segments.sqlite") as cache:
            list(_pipeline(_Numbered(), cache).documents(documents, PAIR))
            pipeline = _pipeline(_Silent(), cache)
            began = time.perf_counter()
            done = list(pipeline.documents(documents, PAIR))
            seconds = time.perf_counter() - began
        assert len(done) == len(documents) and pipeline.counts.translated == 0
        return {"seconds": seconds, "segments": pipeline.counts.segments, "tokens": 0}


def _pipeline(opened: OpenTranslator, cache: SegmentCache) -> Pipeline:
    return Pipeline(opened, "sentence", cache, {"of": "the benchmark"})


class _Numbered:
    """Gives every segment back with its length before it: a translation that no judge minds."""

    def translate(self, segments: Sequence[str], pair: Pair) -> list[str]:
        return [f"{len(segment)} {segment}" for segment in segments]


class _Silent:
    def translate(self, segments: Sequence[str], pair: Pair) -> list[str]:
        raise AssertionError(f"asked for {len(segments)} segments that are in the cache")


CONTENDERS = {"ours": Ours, "ctranslate2": CTranslate2, "transformers": Transformers, "cached": Cached}


def peak_memory() -> int:
    """The highest resident memory of this process so far, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    channel = Channel()
    job = Job(**json.loads(sys.argv[1]))
    import torch

    torch.set_num_threads(job.threads)
    contender = CONTENDERS[job.kind.partition("-")[0]](job)
    channel.answer(**contender.facts())
    for request in channel.requests():
        channel.answer(**contender.run(request["documents"]), peak=peak_memory())


if __name__ == "__main__":
    main()
