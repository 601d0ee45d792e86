"""The evaluation benchmark: ``python -m tests.benchmarks.evaluation [--json] [--quick]``; see README.md beside it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langxfer.engine.matmul import free_cores
from langxfer.errors import DataError, LangxferError
from tests.benchmarks.contest import ROOT, ContenderFailed, Process
from tests.benchmarks.evaluation_worker import LABELS, Job
from tests.benchmarks.training import model_of

DATA = ROOT.parent / "shared" / "data" / "belebele"
FILES = {"en": "eng_Latn.item-eval.jsonl", "de": "deu_Latn.item-eval.jsonl"}
OURS, THEIRS = CONTENDERS = ("ours", "lm_eval")
PART = 50  # items that one contender scores before the other does


@dataclass(frozen=True)
class Turn:
    """Items that both contenders score, one after the other."""

    labels: str
    language: str
    start: int
    stop: int


@dataclass(frozen=True)
class Item:
    """Log-probabilities of an item's labels, by contender, and the place of the right one."""

    turn: Turn
    number: int
    gold: int
    logps: Mapping[str, Sequence[float]]

    def answer(self, contender: str) -> int:
        """The first of the likeliest labels."""
        own = self.logps[contender]
        return own.index(max(own))

    @property
    def difference(self) -> float:
        return max(abs(a - b) for a, b in zip(self.logps[OURS], self.logps[THEIRS], strict=True))


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quick", action="store_true", help="few items: under three minutes on two cores, same keys")
    parser.add_argument("--items", type=int, help="of a language with the labels A to D (default 900: all; quick: 12)")
    parser.add_argument("--multi-items", type=int, help="of a language with multi-token labels (default 40; quick: 4)")
    parser.add_argument("--tokens", type=int, default=640, help="of a batch, of both contenders (default 640)")
    parser.add_argument("--threads", type=int, default=free_cores(), help="of every contender (default: all)")
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder with {' and '.join(FILES.values())}")
    parser.add_argument("--model", help="a folder in transformers format (default: the model of the quickstart)")
    options = parser.parse_args(given)
    options.items = options.items or (12 if options.quick else 900)
    options.multi_items = options.multi_items or (4 if options.quick else 40)
    return options


def read(path: Path) -> list[dict[str, str]]:
    """BELEBELE's items in the columns of its own distribution, which lm-eval's template names.

    Raises:
        DataError: the file is not there, or an item has not four answers, one of them right.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there. It is BELEBELE regrouped by passage; --data names another folder.")
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        passage = json.loads(line)
        for item in passage["items"]:
            right = [number for number, answer in enumerate(item["answers"], 1) if answer["correct"]]
            if len(item["answers"]) != 4 or len(right) != 1:
                raise DataError(f"{path}: {item['question']!r} has not four answers, one of them right.")
            answers = {f"mc_answer{number}": answer["text"] for number, answer in enumerate(item["answers"], 1)}
            row = {"flores_passage": passage["text"], "question": item["question"], **answers}
            found.append({**row, "correct_answer_num": str(right[0])})
    return found


def turns(counts: Mapping[str, int], sizes: Mapping[str, int]) -> list[Turn]:
    """Parts of the wanted first items, languages in turn."""
    return [
        Turn(labels, language, start, min(start + PART, count, size))
        for labels, count in counts.items()
        for start in range(0, count, PART)
        for language, size in sizes.items()
        if start < size
    ]


def run(
    options: argparse.Namespace,
    progress: Callable[[str], None],
    opened: Callable[[Job], Process] = Process,
) -> dict[str, Any]:
    """Let both contenders score the same items, part by part, and give what is compared.

    ``opened`` starts a contender; ``ready`` and ``ask`` of what it gives are used, as a context manager.

    Raises:
        DataError: the data is not there.
        ContenderFailed: a contender's process ended early.
    """
    items = {language: read(options.data / name) for language, name in FILES.items()}
    model, folder = model_of(options.model)
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        job = Job(OURS, work, model.model_dump(mode="json"), str(folder), options.threads, options.tokens)
        for language, rows in items.items():
            job.file(language).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        processes = {kind: stack.enter_context(opened(replace(job, kind=kind))).ready() for kind in CONTENDERS}
        for kind, process in processes.items():
            process.ask("run", language="en", labels="letters", start=0, stop=2)
            progress(f"{kind} is warmed up")
        wanted = {"letters": options.items, "multi_token": options.multi_items}
        planned = turns(wanted, {language: len(rows) for language, rows in items.items()})
        answers = take_turns(planned, processes, progress)
    return summary(planned, answers, items, options)


def take_turns(
    planned: Sequence[Turn], processes: Mapping[str, Process], progress: Callable[[str], None]
) -> list[dict[str, dict[str, Any]]]:
    """What the contenders answer, by turn; they begin by turns.

    Raises:
        ContenderFailed: they were asked different things.
    """
    found = []
    for number, turn in enumerate(planned):
        order = CONTENDERS if number % 2 else CONTENDERS[::-1]
        answers = {kind: processes[kind].ask("run", **vars(turn)) for kind in order}
        if answers[OURS].pop("contexts") != answers[THEIRS].pop("contexts"):
            raise ContenderFailed(f"the contenders were asked different questions in {turn}")
        found.append(answers)
        seconds = ", ".join(f"{kind} {answers[kind]['seconds']:.1f} s" for kind in CONTENDERS)
        progress(f"{number + 1} of {len(planned)}: {turn.labels}, {turn.language}, {turn.start}-{turn.stop}: {seconds}")
    return found


def summary(
    planned: Sequence[Turn],
    answers: Sequence[Mapping[str, Mapping[str, Any]]],
    items: Mapping[str, Sequence[Mapping[str, str]]],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Ratios of the seconds of all turns, whether the answers are the same, and what they are made of."""
    scored = [
        Item(turn, number, int(items[turn.language][number]["correct_answer_num"]) - 1, {
            kind: answer[kind]["logps"][number - turn.start] for kind in CONTENDERS
        })
        for turn, answer in zip(planned, answers, strict=True)
        for number in range(turn.start, turn.stop)
    ]  # fmt: skip
    other = [f"{i.turn.labels}/{i.turn.language}/{i.number}" for i in scored if i.answer(OURS) != i.answer(THEIRS)]
    sums = {
        f"{labels}/{language}": _sums(labels, language, planned, answers, scored)
        for labels in LABELS
        for language in items
    }
    ratios = {
        f"time_vs_lm_eval_{labels}": _ratio([own["seconds"] for name, own in sums.items() if name.startswith(labels)])
        for labels in LABELS
    }
    return {
        **ratios,
        "same_argmax": not other,
        "max_abs_logp_difference": max(item.difference for item in scored),
        "items_with_another_argmax": other,
        "of": sums,
        "turns": [
            {**vars(turn), **{kind: answer[kind]["seconds"] for kind in CONTENDERS}}
            for turn, answer in zip(planned, answers, strict=True)
        ],
        "batch_tokens": options.tokens,
        "threads": options.threads,
        "versions": {name: version(name) for name in ("langxfer", "lm_eval", "torch", "transformers")},
    }


def _ratio(seconds: Sequence[Mapping[str, float]]) -> float:
    return sum(own[OURS] for own in seconds) / sum(own[THEIRS] for own in seconds)


def _sums(
    labels: str,
    language: str,
    planned: Sequence[Turn],
    answers: Sequence[Mapping[str, Mapping[str, Any]]],
    scored: Sequence[Item],
) -> dict[str, Any]:
    """Seconds, tokens that the model read, and accuracy of a task, by contender."""
    mine = [a for turn, a in zip(planned, answers, strict=True) if (turn.labels, turn.language) == (labels, language)]
    items = [item for item in scored if (item.turn.labels, item.turn.language) == (labels, language)]
    return {
        "items": len(items),
        **{
            key: {kind: sum(answer[kind][key] for answer in mine) for kind in CONTENDERS}
            for key in ("seconds", "cpu_seconds", "tokens_read")
        },
        "accuracy": {kind: sum(item.answer(kind) == item.gold for item in items) / len(items) for kind in CONTENDERS},
    }


def table(found: Mapping[str, Any]) -> str:
    """What people read."""
    lines = [
        " ".join(f"{name} {number}" for name, number in found["versions"].items())
        + f", threads: {found['threads']}, tokens of a batch: {found['batch_tokens']}",
        "",
        *(f"  {key:<32}{found[key]:>12.3f}" for key in found if key.startswith("time_vs")),
        f"  {'same_argmax':<32}{found['same_argmax']!s:>12}",
        f"  {'max_abs_logp_difference':<32}{found['max_abs_logp_difference']:>12.2g}",
        "",
        f"  {'':<16}{'items':>6}" + "".join(f"{kind:>10} s{kind:>10} tok{kind:>9} acc" for kind in CONTENDERS),
    ]
    for name, own in found["of"].items():
        cells = (
            f"{own['seconds'][kind]:>12.1f}{own['tokens_read'][kind]:>14}{own['accuracy'][kind]:>13.3f}"
            for kind in CONTENDERS
        )
        lines.append(f"  {name:<16}{own['items']:>6}" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        found = run(options, progress)
    except (LangxferError, ContenderFailed) as error:
        sys.exit(str(error))
    print(json.dumps(found, indent=2) if options.json else table(found))


if __name__ == "__main__":
    main()
