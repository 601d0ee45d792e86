"""One contender of the evaluation benchmark, in a process of its own, as ``worker.py`` for training.

Requests: ``run`` (the items from ``start`` to ``stop`` of the task ``task``), ``stop``. After loading, and after each
``run``, there is one answer: seconds, tokens that the model read, and the log-probabilities of every item's labels.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.benchmarks.job import Channel

LABELS: dict[str, tuple[str, ...]] = {"letters": ("A", "B", "C", "D"), "multi_token": ("가)", "나)", "다)", "라)")}


@dataclass(frozen=True)
class Job:
    """One contender's task.

    Attributes:
        kind: ``ours`` or ``lm_eval``.
        folder: with the items of each language, as ``LANGUAGE.jsonl``; logs go there.
        model: a ``langxfer.recipe.Model``, as JSON values.
        model_folder: the model in transformers format.
        threads: of the process.
        tokens: of a batch.
    """

    worker: ClassVar[str] = "tests.benchmarks.evaluation_worker"
    kind: str
    folder: str
    model: Mapping[str, Any]
    model_folder: str
    threads: int
    tokens: int

    def dump(self) -> str:
        return json.dumps(asdict(self))

    def file(self, language: str) -> Path:
        return Path(self.folder) / f"{language}.jsonl"

    def items(self, language: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.file(language).read_text(encoding="utf-8").splitlines()]


Found = dict[str, Any]  # seconds, and logps: of every item's labels


class Clock:
    """Seconds since it was made, on the wall and of the process's cores."""

    def __init__(self) -> None:
        self._began, self._cores = time.perf_counter(), time.process_time()

    def stop(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._began, "cpu_seconds": time.process_time() - self._cores}


class Ours:
    """``score_questions`` on contexts of the shape of lm-eval's, with the engine's own layout."""

    def __init__(self, job: Job):
        import torch

        from langxfer.engine import weights
        from langxfer.engine.encode import Encoder
        from langxfer.engine.forward import Scorer
        from langxfer.recipe import Compute, Model

        self._job, model, folder = job, Model(**job.model), Path(job.model_folder)
        compute = Compute(device="cpu", threads=job.threads)
        network = weights.load_model(model, folder, [], compute, torch.device("cpu")).eval().requires_grad_(False)
        self._scorer, self._encoder = Scorer(network, "tree"), Encoder(model, folder)
        self.read = 0  # tokens that the model read
        hidden = self._scorer.hidden

        def counted(ids: torch.Tensor, *told: Any) -> torch.Tensor:
            self.read += ids.numel()
            return hidden(ids, *told)

        self._scorer.hidden = counted  # type: ignore[method-assign]

    def run(self, language: str, labels: str, start: int, stop: int) -> Found:
        from langxfer.components import Question
        from langxfer.engine.choices import score_questions

        items = self._job.items(language)[start:stop]
        options = tuple(f" {label}" for label in LABELS[labels])
        questions = [Question(str(n), context(item, LABELS[labels]), options) for n, item in enumerate(items)]
        self.read, clock = 0, Clock()
        scores = score_questions(self._scorer, self._encoder, questions, self._job.tokens, lambda done, total: None)
        seconds = clock.stop()
        return {
            **seconds,
            "tokens_read": self.read,
            "contexts": [question.context for question in questions],
            "logps": [score.totals for score in scores],
        }


def context(item: Mapping[str, str], labels: Sequence[str]) -> str:
    """What a model reads of an item, as lm-eval's BELEBELE has it."""
    shown = "".join(f"{label}: {item[f'mc_answer{number}']}\n" for number, label in enumerate(labels, 1))
    return f"P: {item['flores_passage']}\nQ: {item['question'].strip()}\n{shown}Answer:"


class LmEval:
    """``HFLM.loglikelihood`` on requests that lm-eval makes of its own BELEBELE template and a local file."""

    def __init__(self, job: Job):
        os.environ["HF_DATASETS_CACHE"] = f"{job.folder}/datasets"
        from lm_eval.models.huggingface import HFLM

        self._job = job
        self._harness = HFLM(job.model_folder, backend="causal", dtype="float32", device="cpu", batch_size=1)
        self._requests: dict[tuple[str, str], list[Any]] = {}
        self.read = 0
        call = self._harness._model_call

        def counted(ids: Any, *told: Any, **named: Any) -> Any:
            self.read += ids.numel()
            return call(ids, *told, **named)

        self._harness._model_call = counted

    def run(self, language: str, labels: str, start: int, stop: int) -> Found:
        names = LABELS[labels]
        each = len(names)
        requests = self._made(language, labels)[start * each : stop * each]
        lengths = [len(self._harness.tok_encode(request.args[0])) for request in requests[::each]]
        rows = max(1, round(self._job.tokens / (sum(lengths) / len(lengths))))
        self._harness.batch_size_per_gpu = rows
        self.read, clock = 0, Clock()
        found = [total for total, _ in self._harness.loglikelihood(requests, disable_tqdm=True)]
        seconds = clock.stop()
        return {
            **seconds,
            "tokens_read": self.read,
            "rows": rows,
            "contexts": [request.args[0] for request in requests[::each]],
            "logps": [found[i : i + each] for i in range(0, len(found), each)],
        }

    def _made(self, language: str, labels: str) -> list[Any]:
        """All requests of a task, in the order of its items and their labels."""
        if (language, labels) not in self._requests:
            task = local_task(self._job.file(language), LABELS[labels])
            task.build_all_requests()
            self._requests[language, labels] = sorted(task.instances, key=lambda own: (own.doc_id, own.idx))
        return self._requests[language, labels]


def local_task(path: Path, labels: Sequence[str]) -> Any:
    """lm-eval's BELEBELE with these labels, on the items of a file."""
    import lm_eval
    import yaml
    from lm_eval.api.task import ConfigurableTask

    template = Path(lm_eval.__file__).parent / "tasks" / "belebele" / "_default_template_yaml"
    config = yaml.safe_load(template.read_text(encoding="utf-8"))
    for letter, label in zip("ABCD", labels, strict=True):
        config["doc_to_text"] = config["doc_to_text"].replace(f"\n{letter}: {{{{", f"\n{label}: {{{{")
    local = {
        "task": "belebele_local",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "test_split": "test",
        "num_fewshot": 0,
        "doc_to_choice": list(labels),
    }
    return ConfigurableTask(config={**config, **local})


CONTENDERS = {"ours": Ours, "lm_eval": LmEval}


def main() -> None:
    channel = Channel()
    job = Job(**json.loads(sys.argv[1]))
    import torch

    torch.set_num_threads(job.threads)
    contender = CONTENDERS[job.kind](job)
    channel.answer(kind=job.kind)
    for request in channel.requests():
        channel.answer(**contender.run(*(request[name] for name in ("language", "labels", "start", "stop"))))


if __name__ == "__main__":
    main()
