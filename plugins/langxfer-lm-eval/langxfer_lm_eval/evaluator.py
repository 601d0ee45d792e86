"""Evaluator ``lm_eval``: its requests become the engine's, and the engine's evidence its answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from langxfer import (
    DataError,
    Evaluation,
    Evaluator,
    Evidence,
    ParallelExample,
    Passage,
    Prompt,
    Question,
    Sampling,
    Score,
)
from langxfer.signatures import digest, signature
from langxfer.statistics import mean
from langxfer_lm_eval.content import digest_of, digest_of_folder
from langxfer_lm_eval.tasks import Wanted, errors_named, ignores_greedy, settings_of

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

# What lm-eval generates where a task does not say how much.
MAX_NEW_TOKENS = 256
HONOURED = {"until", "max_gen_toks", "do_sample", "temperature", "top_p"}


class LmEval(Evaluator):
    """Tasks of lm-evaluation-harness (Gao et al., https://github.com/EleutherAI/lm-evaluation-harness).

    The harness loads the tasks, builds its requests and computes its metrics; the engine computes likelihoods and
    answers, with its caches, shared prefixes and processes. Scores are ``lm_eval/TASK/METRIC`` (``…/FILTER`` for
    filters other than ``none``), as the harness gives them: shares, not percent. The standard error is that of the
    mean over items; None for other metrics.

    Not supported, and refused: metrics that ask whether a text is what greedy decoding gives, images, running
    generated code, and conversations of several turns.
    """

    name: Literal["lm_eval"] = "lm_eval"
    tasks: tuple[str, ...] = Field(min_length=1, description="Names of tasks or of groups of them.")
    include_path: str | None = Field(None, min_length=1, description="Folder with tasks of your own, as YAML.")
    num_fewshot: int | None = Field(None, ge=0, description="Examples in the prompt; null: as the task says.")
    limit: int | None = Field(None, ge=1, description="The first n items of each task.")
    chat: bool = Field(False, description="Ask in a user's turn, within the model's template.")
    language: str = Field("en", description="BCP-47 tag that the rows get.")

    def identity(self) -> dict[str, Any]:
        """The harness's version, and digests of all requests and items, of the tasks, and of the files of one's own.

        Raises:
            DataError: a task does not exist, cannot be loaded, or is not supported.
        """
        loaded = self._wanted.load()["tasks"]
        tasks = {name: settings_of(name, task) for name, task in loaded.items()}
        requests = (
            (own.task_name, own.doc_id, own.request_type, own.args, own.doc, own.repeats)
            for own in self._wanted.requests(loaded)
        )
        return {
            "include_path": self.include_path and digest_of_folder(self.include_path),
            "lm_eval": version("lm_eval"),
            "tasks": digest_of([tasks]),
            "requests": digest_of(requests),
        }

    def resolve(self, folder: Path) -> LmEval:
        if self.include_path is None or Path(self.include_path).is_absolute():
            return self
        return self.model_copy(update={"include_path": str((folder / self.include_path).resolve())})

    def questions(self, examples: Sequence[ParallelExample]) -> list[Question]:
        """A question for each context, with the continuations that any item asks for."""
        asked: dict[str, dict[str, None]] = {}
        for request in self._requests("loglikelihood"):
            context, continuation = moved(*request.args)
            asked.setdefault(context, {})[continuation] = None
        return [
            Question(f"lm_eval/{number}", context, tuple(options), chat=self.chat)
            for number, (context, options) in enumerate(asked.items())
        ]

    def passages(self, examples: Sequence[ParallelExample]) -> list[Passage]:
        texts = dict.fromkeys(request.args[0] for request in self._requests("loglikelihood_rolling"))
        return [Passage(f"lm_eval/{number}", text, self.language) for number, text in enumerate(texts)]

    def prompts(self, examples: Sequence[ParallelExample]) -> list[Prompt]:
        """Each prompt as often as a task repeats it; without ``chat`` plain text to go on with."""
        asked: dict[str, int] = {}
        for request in self._requests("generate_until"):
            asked[request.args[0]] = max(asked.get(request.args[0], 0), request.repeats or 1)
        return [
            Prompt(f"lm_eval/{number}", text, self.language, attempt=attempt, chat=self.chat)
            for number, (text, repeats) in enumerate(asked.items())
            for attempt in range(repeats)
        ]

    def sampling(self) -> Sampling:
        """What all generating tasks agree upon.

        Raises:
            DataError: they do not agree, or one asks for more than length, temperature and top-p.
        """
        found = {sampling_of(request) for request in self._requests("generate_until")}
        if len(found) > 1:
            raise DataError(
                "lm_eval.tasks: these tasks generate in different ways "
                f"({'; '.join(sorted(str(own) for own in found))}). Give each an evaluator of its own."
            )
        return found.pop() if found else Sampling(MAX_NEW_TOKENS)

    def evaluate(self, evidence: Evidence) -> Evaluation:
        """The harness's scores, and a row an item with its metrics."""
        from lm_eval.evaluator import evaluate

        from langxfer_lm_eval.replay import Replay

        options = {
            (found.question.context, option): total
            for found in evidence.questions
            for option, total in zip(found.question.options, found.totals, strict=True)
        }
        asked = {request.args: options[moved(*request.args)] for request in self._requests("loglikelihood")}
        texts = {found.passage.text: found.total for found in evidence.passages}
        answers: dict[str, list[str]] = {}
        for answer in sorted(evidence.generations, key=lambda answer: answer.prompt.attempt):
            answers.setdefault(answer.prompt.text, []).append(answer.text)
        loaded = self._wanted.load()
        careless = {name for name, task in loaded["tasks"].items() if ignores_greedy(task)}
        with errors_named("cannot evaluate"):
            found = evaluate(
                Replay(asked, texts, answers, careless),
                loaded,
                limit=self.limit,
                apply_chat_template=self.chat,
                bootstrap_iters=0,
            )
        assert found is not None, "one process gets the results"
        rows = self._rows(found["samples"])
        return Evaluation(list(self._scores(found, rows)), rows)

    def _scores(self, found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[Score]:
        for task, results in found["results"].items():
            if task not in found["samples"]:
                continue  # a group's mean
            better, text = found["higher_is_better"].get(task, {}), self._signature(task, found)
            for key, value in results.items():
                metric, _, filtered = key.partition(",")
                if filtered and not metric.endswith("_stderr") and isinstance(value, int | float):
                    name = _name(task, metric, filtered)
                    values = [row["scores"][name] for row in rows if name in row["scores"]]
                    average, error = mean(values) if values else (None, None)
                    own = average is not None and math.isclose(average, value, rel_tol=1e-9, abs_tol=1e-12)
                    n = found["n-samples"][task]["effective"]
                    yield Score(name, value, error if own else None, n, text, "", better.get(metric))

    def _rows(self, samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
        rows: dict[str, dict[str, Any]] = {}
        for task, items in samples.items():
            for item in items:
                identifier = f"{task}/{item['doc_id']}"
                new = {"id": identifier, "language": self.language, "task": task, "scores": {}}
                row = rows.setdefault(identifier, new | {"target": str(item["target"])})
                numbers = {m: item[m] for m in item["metrics"] if isinstance(item[m], int | float)}
                row["scores"] |= {_name(task, m, item["filter"]): float(value) for m, value in numbers.items()}
        return list(rows.values())

    def _signature(self, task: str, found: Mapping[str, Any]) -> str:
        items = digest((item["doc_hash"], item["prompt_hash"], item["target_hash"]) for item in found["samples"][task])
        parts = {
            "task": task,
            "version": found["versions"].get(task),
            "shots": found["n-shot"].get(task),
            "chat": self.chat,
            "n": found["n-samples"][task]["effective"],
            "items": items,
            "lm_eval": version("lm_eval"),
        }
        return signature(parts)

    @property
    def _wanted(self) -> Wanted:
        return Wanted(self.tasks, self.include_path, self.num_fewshot, self.limit, self.chat)

    def _requests(self, kind: str) -> list[Instance]:
        found = self._wanted.requests(self._wanted.load()["tasks"])
        return [request for request in found if request.request_type == kind]


def moved(context: str, continuation: str) -> tuple[str, str]:
    """White space at the end of a context belongs to the continuation, as in the harness."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def sampling_of(request: Instance) -> Sampling:
    """How a request wants to be answered."""
    options = request.args[1]
    if unknown := sorted(options.keys() - HONOURED):
        raise DataError(f"lm_eval.tasks: {request.task_name} generates with {', '.join(unknown)}: not supported.")
    sampled = options.get("do_sample")
    if sampled is None:  # as the harness's normalize_gen_kwargs has it
        sampled = float(options.get("temperature", 0.0)) > 0
    return Sampling(
        int(options.get("max_gen_toks", MAX_NEW_TOKENS)),
        float(options.get("temperature", 1.0)) if sampled else 0.0,
        float(options.get("top_p", 1.0)) if sampled else 1.0,
    )


def _name(task: str, metric: str, filtered: str) -> str:
    return f"lm_eval/{task}/{metric}" + ("" if filtered == "none" else f"/{filtered}")
